"""Profiles: of what, how much, by which process and where."""

import contextlib
import gzip
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from speccascade.runs import profiling
from tests.runs import entry_point
from tests.storage import fake_bucket
from tests.sweeps import tiny_pair

_MOST = 2**23  # Bytes of a file.


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('profiling') / 'pair')


@pytest.fixture
def told(monkeypatch):
  """What happens, in order; no profiler runs."""
  told = []

  @contextlib.contextmanager
  def trace(folder, profiler_options):
    assert profiler_options.python_tracer_level == 0
    told.append('on')
    yield
    told.append('off')
    place = pathlib.Path(folder) / 'plugins' / 'profile' / 'today'
    place.mkdir(parents=True)
    (place / 'my.host.xplane.pb').write_bytes(b'x')
    (place / 'my.host.trace.json.gz').write_bytes(b't')

  monkeypatch.setattr(jax.profiler, 'trace', trace)
  return told


@pytest.mark.parametrize('bucket', [False, True])
def test_it_runs_once_before_and_once_within(
  told, tmp_path, monkeypatch, bucket
):
  if bucket:
    objects = fake_bucket.install(monkeypatch)
  folder = 'gs://bucket/a' if bucket else tmp_path
  profiling.write(folder, [0], 'name', told.append)
  assert told == [profiling._ITERATIONS, 'on', profiling._ITERATIONS, 'off']
  place = 'plugins/profile/name/process_0'
  files = {f'{place}.xplane.pb', f'{place}.trace.json.gz'}
  if bucket:
    assert set(objects.written) == {f'gs://bucket/a/{x}' for x in files}
    return
  assert {
    str(x.relative_to(tmp_path)) for x in tmp_path.rglob('*') if x.is_file()
  } == files
  assert (tmp_path / f'{place}.xplane.pb').read_bytes() == b'x'


def test_a_process_that_is_not_asked_runs_along_and_writes_nothing(
  told, tmp_path, monkeypatch
):
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  profiling.write(tmp_path, [0, 2], 'name', told.append)
  assert told == [profiling._ITERATIONS] * 2
  assert not list(tmp_path.iterdir())
  profiling.write(tmp_path, [0, 1], 'name', told.append)
  assert len(list(tmp_path.rglob('process_1.*'))) == 2


@pytest.mark.parametrize(
  ('platforms', 'found', 'refused'),
  [
    (None, '0.0.52', True),
    ('tpu,cpu', '0.0.52', True),
    ('cpu', '0.0.52', False),
    ('cuda', '0.0.52', False),
    (None, '0.0.42', False),
    (None, '0.0.42.1', False),
    (None, None, False),
  ],
)
def test_a_libtpu_that_would_crash_is_told(
  monkeypatch, platforms, found, refused
):
  def version(name):
    if found is None:
      raise importlib.metadata.PackageNotFoundError(name)
    return found

  needs = ['numpy>=2', 'libtpu==0.0.42.*; extra == "tpu"']
  monkeypatch.setattr(importlib.metadata, 'requires', lambda name: needs)
  monkeypatch.setattr(importlib.metadata, 'version', version)
  told = contextlib.nullcontext()
  if refused:
    told = pytest.raises(ValueError, match='libtpu 0.0.52 .* 0.0.42; set JAX')
  with told:
    profiling._check_libtpu(platforms)


# --- The commands.


def _arguments(command, pair, tmp_path):
  if command != 'sweep':
    few = {
      'generate': ('--config.gamma=2', '--config.max_new_tokens=24'),
      'acceptance': (
        '--config.num_examples=4',
        '--config.seed=1',
        '--config.temperatures=(1.0,)',
      ),
      'benchmark': (
        '--config.batch_sizes=(2,)',
        "--config.schedules=('fixed',)",
      ),
    }[command]
    return f'--config.pair={pair}', '--config.task=word_problems', *few
  config = tmp_path / 'config.py'
  config.write_text(
    'from tests.sweeps import tiny_pair\n\n\n'
    f'def get_config():\n  return tiny_pair.config({pair!r}, gammas=(2,))\n'
  )
  return f'--config={config}', f'--workdir={tmp_path / "run"}'


@pytest.mark.parametrize(
  ('command', 'name', 'rows'),
  [
    ('generate', 'generate', 1),
    ('acceptance', 'acceptance', 4),
    ('sweep', 'sweep', 8 * 2),  # Branches of slots.
    ('benchmark', 'batch2-g5', 2),
  ],
)
def test_each_command_hands_over_a_few_iterations(
  pair, tmp_path, monkeypatch, command, name, rows
):
  told = {}

  def write(folder, processes, name, run):
    told.update(folder=folder, processes=processes, name=name, got=run(2))
    raise ValueError('enough')

  monkeypatch.setattr(profiling, 'write', write)
  monkeypatch.setattr(profiling, '_check_libtpu', lambda platforms: None)
  folder = tmp_path / 'profile'
  ended = entry_point.call(
    command, *_arguments(command, pair, tmp_path), f'--profile_dir={folder}'
  )
  assert ended == f'{command}: enough'
  assert told['folder'] == str(folder)
  assert told['processes'] == [0]
  assert told['name'] == name
  if command == 'benchmark':
    drafted_KxB, _ = told['got']
    assert drafted_KxB.shape[1] == rows
    assert drafted_KxB.any(1).sum() == 2
  else:
    calls_B = told['got'].counts.verifier_calls_B
    assert calls_B.shape == (rows,)
    assert calls_B.max() == 2


@pytest.mark.parametrize('command', ['generate', 'acceptance', 'sweep'])
def test_a_folder_that_cannot_be_is_told_before_any_work(
  pair, tmp_path, monkeypatch, capsys, command
):
  monkeypatch.setattr(profiling, '_check_libtpu', lambda platforms: None)
  monkeypatch.setattr(profiling, 'write', None)
  file = tmp_path / 'file'
  file.touch()
  ended = entry_point.call(
    command, *_arguments(command, pair, tmp_path), f'--profile_dir={file}'
  )
  assert ended.startswith(f"{command}: File exists: '{file}'")
  assert '\n' not in ended
  assert capsys.readouterr() == ('', '')


@pytest.mark.slow
def test_a_profile_has_the_parts_of_decoding_and_no_compiling(pair, tmp_path):
  root = pathlib.Path(__file__).parents[2]
  # Its own process: a libtpu that others load would crash the profiler.
  subprocess.run(
    [
      sys.executable,
      root / 'experiments' / 'generate.py',
      *_arguments('generate', pair, tmp_path),
      f'--profile_dir={tmp_path}',
      '--config.trials=0',
    ],
    env=os.environ
    | {
      'PYTHONPATH': str(root),
      'JAX_PLATFORMS': 'cpu',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
      'XLA_FLAGS': '',
    },
    check=True,
  )
  place = tmp_path / 'plugins' / 'profile' / 'generate'
  xplane, trace = (place / f'process_0.{x}' for x in profiling._KINDS)
  assert 0 < trace.stat().st_size < _MOST
  assert 0 < xplane.stat().st_size < _MOST
  data = xplane.read_bytes()
  for scope in ('prefill', 'draft', 'verify', 'defer'):
    assert f'/{scope}/'.encode() in data
  found = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
  names = {x.get('name', '') for x in found}
  assert not [x for x in names if 'compile' in x.lower()]
  runs = {x['args']['run_id'] for x in found if 'hlo_op' in x.get('args', {})}
  assert len(runs) == 2  # The prompts, and a few iterations.
