"""Training by several processes is training by one, whatever ends them.

In double precision. Two processes sum what one sums in another order, and
`test_mesh` tells what that comes to: 1e-11 of a loss or gradient, and 1e-7 of a
parameter a step at rate 1e-2 or below.
"""

import functools
import json
import pathlib
import signal

import jax
import numpy as np
import pytest

from speccascade.training import metrics
from tests.sweeps import tiny_pair, two_processes
from tests.training import train_sums

pytestmark = [
  pytest.mark.usefixtures('float64'),
  pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices'),
]
_MOVED = train_sums.STEPS * 1e-7
_ABORTED = -signal.SIGABRT, 134  # Another process has ended.


@pytest.fixture(autouse=True)
def _double(monkeypatch):
  monkeypatch.setenv('JAX_ENABLE_X64', '1')


def _start(workdir, mesh=(2, 4), **values):
  return two_processes.start(
    pathlib.Path(train_sums.__file__),
    workdir=workdir,
    mesh='x'.join(map(str, mesh)),
    **values,
  )


@pytest.fixture(scope='module')
def alone(tmp_path_factory, float64):
  """(mesh, samples) -> (parameters, metrics) of one process, eight devices."""

  @functools.cache
  def train(mesh, samples=None):
    workdir = tmp_path_factory.mktemp('alone')
    params = train_sums.train(workdir, mesh, samples)
    return jax.tree.leaves(params), metrics.read(workdir)

  return train


def _check_same(workdir, wanted):
  wanted_params, wanted_lines = wanted
  with np.load(workdir / 'params.npz') as params:
    for x, y in zip(params.values(), wanted_params, strict=True):
      np.testing.assert_allclose(x, y, rtol=0, atol=_MOVED)
  lines = metrics.read(workdir)
  assert [x['step'] for x in lines] == [2, 4, 5]
  for line, other in zip(lines, wanted_lines, strict=True):
    for name in other.keys() - {'tokens_per_second'}:
      # What parameters moved by, and a loss moves with it.
      np.testing.assert_allclose(line[name], other[name], rtol=1e-5)


def _given(workdir, process):
  return json.loads((workdir / f'given_{process}.json').read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
  ('mesh', 'samples'),
  [
    ((2, 4), None),
    pytest.param((1, 8), 'drafter', marks=pytest.mark.large),
    pytest.param((8, 1), 'verifier', marks=pytest.mark.large),
  ],
  ids=str,
)
def test_two_processes_train_as_one(tmp_path, alone, mesh, samples):
  job = _start(tmp_path, mesh, samples=samples or '')
  wanted = alone(mesh, samples)
  told = two_processes.ended(job)
  assert [code for code, *_ in told] == [0, 0], told
  _check_same(tmp_path, wanted)
  assert _given(tmp_path, 1) == _given(tmp_path, 0)


@pytest.mark.large
def test_whatever_ends_one_process_all_go_on_from_what_they_saved(
  tmp_path, alone
):
  """SIGTERM at step 1, which all hear there; then kills at step 5."""
  for victim, number, at, saved in (
    (1, signal.SIGTERM, 1, 1),
    (1, signal.SIGKILL, 5, 4),  # An example, three steps, a validation.
    (0, signal.SIGKILL, 1, 4),
  ):
    ats = tuple(at if i == victim else 99 for i in range(2))
    told = two_processes.ended(_start(tmp_path, signal=int(number), at=ats))
    codes = [code for code, *_ in told]
    if number == signal.SIGTERM:
      assert 143 in codes, told
      assert set(codes) <= {143, *_ABORTED}, told
      line = 'terminated; step 1 is saved'
      assert any(line in err for *_, err in told), told
    else:
      assert codes[victim] == -signal.SIGKILL, told
      assert codes[1 - victim] in _ABORTED, told
    assert _last_saved(tmp_path) == saved
    assert not (tmp_path / 'tiny.safetensors').exists()
  told = two_processes.ended(_start(tmp_path))
  assert [code for code, *_ in told] == [0, 0], told
  assert [x['step'] for x in _given(tmp_path, 1)] == [5]
  _check_same(tmp_path, alone((2, 4)))


def _last_saved(workdir):
  return max(int(x.stem) for x in (workdir / 'checkpoints').glob('*.json'))


_CONFIG = """
from tests.sweeps import tiny_pair
from configs import distill
tiny_pair.shorten(8)

def get_config():
  config = distill.get_config('word_problems,jsd,verifier,smoke')
  config.distill.pair = {pair!r}
  config.mesh = (2, 4)
  return config
"""


@pytest.fixture
def config(tmp_path):
  path = tmp_path / 'distill.py'
  pair = tiny_pair.save(tmp_path / 'pair')
  path.write_text(_CONFIG.format(pair=pair))
  return path


def _distil(**values):
  return two_processes.start(
    two_processes.ROOT / 'experiments' / 'train.py', **values
  )


@pytest.mark.large
def test_the_first_process_alone_tells_and_writes_the_rest(config, tmp_path):
  job = _distil(config=config, workdir=tmp_path / 'run')
  (code, out, err), (other, other_out, other_err) = two_processes.ended(job)
  assert (code, other) == (0, 0), (err, other_err)
  assert 'step 4/4' in out
  assert not other_out
  names = sorted(path.name for path in (tmp_path / 'run').iterdir())
  events = [x for x in names if x.startswith('events.out.tfevents.')]
  assert len(events) == 1
  assert set(names) - {'.lock', *events} == {
    *('checkpoints', 'config.json', 'metrics.jsonl'),
    *('drafter.safetensors', 'provenance.json'),
  }
  lines = metrics.read(tmp_path / 'run')
  assert [x['step'] for x in lines] == [1, 2, 3, 4]
  told = json.loads((tmp_path / 'run' / 'provenance.json').read_text())
  assert told['drafter']['origin'].keys() == {
    *('drafter', 'verifier', 'tokenizer')
  }


@pytest.mark.slow
@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    (
      {'config.seed': (1, 2)},
      ': process 1 has another config than process 0: start all processes',
    ),
    ({'workdir': None}, ': process 1 does not see what process 0 writes to'),
  ],
)
def test_what_cannot_train_together_is_one_line(
  config, tmp_path, changes, told
):
  values = {'config': config, 'workdir': tmp_path / 'run'} | changes
  if values['workdir'] is None:
    values['workdir'] = (tmp_path / 'run', tmp_path / 'other')
  ends = two_processes.ended(_distil(**values))
  assert all(code for code, *_ in ends)
  assert any(
    line.startswith('train[') and told in line
    for *_, err in ends
    for line in err.splitlines()
  ), ends
  assert not list(tmp_path.glob('*/checkpoints/*'))
  assert not list(tmp_path.glob('*/metrics.jsonl'))
