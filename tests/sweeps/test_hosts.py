"""A sweep by several processes has the records of one, whatever ends them."""

import contextlib
import random
import signal
import subprocess

import jax
import pytest

from speccascade.pairs import config as pairs_config
from speccascade.runs import workdir as workdir_lib
from tests.sweeps import compared, tiny_pair, two_processes

_SMALL = dict(
  methods={'strict': (), 'token_v3': (0.3,)},
  gammas=(3,),
  temperatures=(1.0,),
  num_examples=8,
  latency_examples=1,
  trials=1,
)
_KILLS = 5


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('hosts') / 'pair')


@pytest.fixture
def config(pair, tmp_path):
  return _config(pair, tmp_path, mesh=(2, 4))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
  """The only folder for temporary files."""
  (tmp_path / 'scratch').mkdir()
  monkeypatch.setenv('TMPDIR', str(tmp_path / 'scratch'))
  return tmp_path / 'scratch'


def _config(pair, tmp_path, **changes):
  path = tmp_path / f'{"mesh" if "mesh" in changes else "one"}.py'
  return two_processes.write_config(path, pair, **_SMALL | changes)


def _one_device(pair, tmp_path, **changes):
  config = _config(pair, tmp_path, **changes)
  done = two_processes.sweep(1, 1, config=config, workdir=tmp_path / 'one')
  ((code, *_),) = two_processes.ended(done)
  assert not code
  return compared.results(tmp_path / 'one')


def _check_same(got, want):
  assert got[:2] == want[:2]
  # Float32 sums of a few tokens' D_TV, in another order.
  assert got[2] == pytest.approx(want[2], rel=1e-5)


@pytest.mark.slow
def test_two_processes_have_the_records_of_one_device(
  pair, config, tmp_path, scratch
):
  job = two_processes.sweep(
    config=config, workdir=(tmp_path / 'two', tmp_path / 'unused')
  )
  want = _one_device(pair, tmp_path)
  (code, out, err), (other, other_out, other_err) = two_processes.ended(job)
  assert (code, other) == (0, 0)
  _check_same(compared.results(tmp_path / 'two'), want)
  # The first alone writes and tells.
  assert '## Table 2' in out
  assert '## Table 2' not in other_out
  assert ' units/s' in err
  assert ' units/s' not in other_err
  assert 'to compile' in out
  assert 'to compile' not in other_out
  assert (tmp_path / 'two' / 'report.html').exists()
  assert not (tmp_path / 'unused').exists()
  assert not list(scratch.iterdir())


@pytest.mark.slow
def test_what_ends_one_process_names_it_and_ends_the_others(
  config, tmp_path, scratch
):
  with workdir_lib.lock(tmp_path / 'two'):
    job = two_processes.sweep(config=config, workdir=tmp_path / 'two')
    (code, _, err), (other, *_) = two_processes.ended(job)
  assert code == 1
  assert f'sweep[0]: another process is writing to {tmp_path / "two"}' in err
  assert other
  assert not list((tmp_path / 'two').glob('*.json*'))


@pytest.mark.slow
def test_processes_of_different_configs_are_refused(config, tmp_path, scratch):
  job = two_processes.sweep(
    **{'config': config, 'workdir': tmp_path / 'two', 'config.trials': (1, 2)}
  )
  told = two_processes.ended(job)
  assert all(code for code, *_ in told)
  line = ': process 1 has another config than process 0: start all'
  assert any(line in err for *_, err in told)


def test_a_mesh_is_of_all_devices_of_several_processes(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  number = jax.device_count()
  told = f'mesh is not set: 2 processes have {number} devices'
  with pytest.raises(ValueError, match=told):
    pairs_config.Models(pair='word_problems').load_pair()
  told = rf'mesh=\(1, 1\) takes 1 devices, and the 2 processes have {number}'
  with pytest.raises(ValueError, match=told):
    pairs_config.Models(pair='word_problems', mesh=(1, 1)).load_pair()


@pytest.mark.large
def test_killed_processes_go_on(pair, tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'programs'))
  longer = dict(num_examples=24, temperatures=(0.0, 1.0), trials=3)
  want = _one_device(pair, tmp_path, **longer)
  config = _config(pair, tmp_path, mesh=(2, 4), **longer)
  rng, kills, runs = random.Random(), 0, 0
  while kills < _KILLS:
    workdir = tmp_path / f'run{runs}'
    job = two_processes.sweep(config=config, workdir=workdir)
    victim, seconds = rng.randrange(2), rng.uniform(5, 40)
    with contextlib.suppress(subprocess.TimeoutExpired):
      job[victim].wait(seconds)
    job[victim].kill()
    told = two_processes.ended(job)
    codes = [code for code, *_ in told]
    print(f'{workdir}: {codes} at {seconds:.1f} s, {_lines(workdir)}')
    if codes[victim] == -signal.SIGKILL:
      kills += 1
    else:  # It was done before.
      _check_same(compared.results(workdir), want)
      runs += 1
  told = two_processes.ended(
    two_processes.sweep(config=config, workdir=workdir)
  )
  assert [code for code, *_ in told] == [0, 0]
  _check_same(compared.results(workdir), want)


def _lines(workdir):
  """{file: its lines}, how far a sweep is."""
  return {
    str(path.relative_to(workdir)): path.read_bytes().count(b'\n')
    for path in sorted(workdir.rglob('*.jsonl'))
  }
