"""A sweep of models, killed and grown, and the order in which cells begin."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest

from speccascade.runs import records, workdir
from speccascade.storage import lines
from speccascade.sweeps import batches, run
from speccascade.sweeps import config as config_lib
from speccascade.timing import costs as costs_lib
from tests.sweeps import kills, tiny_pair

_ROOT = pathlib.Path(__file__).parents[2]
_KILLS = 2
# What may differ between two runs of one config.
_OF_THE_MOMENT = (
  'git_revision',
  'seconds',
  'example_seconds',
  'predicted_seconds',
  'verifier_seconds',
  'verifier_example_seconds',
  'strict_seconds',
  'relative_latency',
)


def _tenths(first, last):
  return (n / 10 for n in range(first, last + 1))


_SHORT = 6  # Most tokens of an answer.
# 20 points, and 20 more with 30 more examples.
_SMALL = dict(
  methods={'strict': (), 'chow': (0.3,), 'token_v3': tuple(_tenths(1, 6))},
  gammas=(3,),
  trials=1,
  batch_size=64,
)
_GROWN = _SMALL | dict(
  methods={
    'strict': (),
    'chow': tuple(_tenths(1, 8)),
    'token_v3': tuple(_tenths(1, 9)),
  },
  num_examples=40,
)
_COSTS = costs_lib.Costs(
  drafter_step=1.0,
  verifier_block={1: 2.0, 4: 3.0},
  prefill={S: {'drafter': 1.0, 'verifier': 3.0} for S in (32, 64, 96)},
)


@pytest.fixture(scope='module', autouse=True)
def _short_answers():
  undo = tiny_pair.shorten(_SHORT)
  yield
  undo()


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('run') / 'pair')


@pytest.fixture(scope='module')
def small(pair, tmp_path_factory):
  """The folder of a sweep of 20 points."""
  folder = _with_costs(tmp_path_factory.mktemp('run') / 'small')
  run.run(tiny_pair.sweep(pair, **_SMALL), folder)
  return folder


@pytest.fixture(scope='module')
def calm(pair, tmp_path_factory):
  """The folder of an undisturbed sweep of 40 points, made at once."""
  folder = _with_costs(tmp_path_factory.mktemp('run') / 'calm')
  run.run(tiny_pair.sweep(pair, **_GROWN), folder)
  return folder


def _with_costs(folder):
  """A new folder with the costs of another machine."""
  folder.mkdir()
  (folder / 'costs.json').write_text(_COSTS.to_json())
  return folder


def _size(folder):
  # Files that nothing replaces: one could be gone before its size is read.
  return sum(f.stat().st_size for f in pathlib.Path(folder).rglob('*.jsonl'))


def _lasting(folder):
  kept = records.read(folder / 'records.jsonl')
  for record in kept:  # Sums may round otherwise in another batch.
    record['counts']['divergence'] = pytest.approx(
      record['counts']['divergence'], rel=1e-5
    )
  return [{k: v for k, v in r.items() if k not in _OF_THE_MOMENT} for r in kept]


def _texts(folder):
  """What was decoded, but for the sums, a line each."""
  return {
    path.name: sorted(
      str(line | {'divergence': 0}) for line in lines.read(path)
    )
    for path in (folder / 'outputs').iterdir()
  }


@pytest.mark.thorough
def test_killed_and_grown_it_gives_the_records_of_an_undisturbed_run(
  pair, small, calm, tmp_path, monkeypatch
):
  folder = shutil.copytree(small, tmp_path / 'grown')
  assert len(records.read(folder / 'records.jsonl')) == 20
  grown, rng = tiny_pair.sweep(pair, **_GROWN), random.Random(0)
  for _ in range(_KILLS):
    with monkeypatch.context() as patch:
      kills.at(patch, 1 + rng.randrange(_size(calm) // 5))
      try:
        run.run(grown, folder)
        break
      except kills.Killed:
        pass
  run.run(grown, folder)
  assert _lasting(folder) == _lasting(calm)
  assert _texts(folder) == _texts(calm)

  rows = records.read(calm / 'records.jsonl')
  # 2 models alone, strict, 8 of chow and 9 of token_v3, at 2 temperatures.
  assert len(rows) == (2 + 18) * 2 == 40
  for row in rows:
    counts = row['counts']
    assert row['pair'] == 'pair'  # Not the path of this machine.
    assert row['num_examples'] == 40
    assert len(row['seconds']) == len(row['relative_latency']) == 1
    # Decoded alone, an answer is the one that was decoded among others.
    assert row['timed_tokens'] == row['example_tokens'][:1]
    assert row['timed_differs'] == 0
    if row['gamma'] is not None:
      assert counts['accepted'] + counts['rejected'] == counts['tokens']
      assert len(counts['accepted_lengths']) == row['gamma'] + 2


@pytest.fixture
def start(pair, tmp_path):
  """start(workdir, *flags) -> process of experiments/sweep.py."""
  config = tmp_path / 'config.py'
  config.write_text(
    f'from tests.sweeps import tiny_pair\n\n'
    f'tiny_pair.shorten({_SHORT})\n\n\n'
    f'def get_config():\n  return tiny_pair.config({pair!r}, **{_SMALL!r})\n'
  )
  environment = dict(
    os.environ,
    PYTHONPATH=str(_ROOT),
    JAX_PLATFORMS='cpu',
    JAX_DISABLE_MOST_OPTIMIZATIONS='1',  # As in this process: the same sums.
    GIT_DIR=os.devnull,  # Edits while this runs do no harm.
    XLA_FLAGS=f'{os.environ["XLA_FLAGS"]} '
    '--xla_force_host_platform_device_count=1',
    XDG_CACHE_HOME=str(tmp_path / 'cache'),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
  )

  def run_it(workdir, *flags):
    return subprocess.Popen(
      [
        sys.executable,
        _ROOT / 'experiments' / 'sweep.py',
        f'--config={config}',
        f'--workdir={workdir}',
        *flags,
      ],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  return run_it


@pytest.mark.slow
def test_a_killed_process_resumes_and_reports(start, small, tmp_path):
  killed = _with_costs(tmp_path / 'killed')
  process = start(killed)
  while _size(killed) < 0.3 * _size(small) and process.poll() is None:
    time.sleep(0.001)
  process.kill()
  assert process.wait() == -9, process.communicate()[0]
  process = start(killed)
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  assert 'token_v3' in output
  assert _lasting(killed) == _lasting(small)
  assert _texts(killed) == _texts(small)
  # It had not to compile again what the killed one compiled.
  assert list(tmp_path.glob('cache/speccascade/programs-*/jit__decode-*'))
  assert (killed / 'report.md').exists()
  assert (killed / 'quality_latency.png').exists()


def test_a_wrong_command_line_is_one_line(start, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  expected = {
    (file,): f"sweep: File exists: '{file}'",
    (tmp_path / 'x', '--config.num_exmples=3'): 'sweep: ',
    (tmp_path / 'x', '--config.trials=0'): 'sweep: trials=0: it must be',
  }
  processes = {arguments: start(*arguments) for arguments in expected}
  for arguments, told in expected.items():
    output, _ = processes[arguments].communicate(timeout=600)
    assert processes[arguments].returncode == 1
    assert output.startswith(told)
    assert output.count('\n') == 1


def _cells(shared, tmp_path, **changes):
  """Sweeps of two copies of a pair, the second one changed."""
  cells = {
    name: tiny_pair.config(str(tmp_path / f'{name}_pair'))
    for name in ('one', 'two')
  }
  for name in cells:
    shutil.copytree(shared, tmp_path / f'{name}_pair', dirs_exist_ok=True)
  cells['two'].update(changes)
  return config_lib.parse({'cells': cells})


@pytest.fixture
def measured(monkeypatch):
  """The folders that are measured, in order, and when programs are freed."""
  told = []
  monkeypatch.setattr(
    run,
    '_measure',
    lambda begun, *_: told.append(begun.workdir) or [begun.load.pair.name],
  )
  monkeypatch.setattr(run.jax, 'clear_caches', lambda: told.append('free'))
  return told


def test_cells_are_sweeps_in_folders_of_their_own(pair, measured, tmp_path):
  assert run.run_all(_cells(pair, tmp_path), str(tmp_path)) == [
    'one_pair',
    'two_pair',
  ]
  # No cell keeps the programs of the one before.
  assert measured == [tmp_path / 'one', 'free', tmp_path / 'two', 'free']


@pytest.mark.parametrize(
  ('field', 'value', 'told'),
  [
    ('pair', 'nobody', "'nobody'"),
    ('task', 'nothing', "unknown task 'nothing'"),
    ('max_prompt_tokens', 3, 'max_length'),
  ],
)
def test_the_last_cell_is_checked_before_the_first_is_begun(
  pair, measured, tmp_path, field, value, told
):
  with pytest.raises(ValueError, match=told):
    run.run_all(_cells(pair, tmp_path, **{field: value}), tmp_path)
  assert not measured


def test_a_foreign_folder_of_the_last_cell_is_told_first(
  pair, measured, tmp_path
):
  run.run(_cells(pair, tmp_path)['two'], tmp_path / 'two')
  measured.clear()
  cells = _cells(pair, tmp_path, seed=1)
  with pytest.raises(ValueError, match=r'different config \(changed: seed\)'):
    run.run_all(cells, tmp_path)
  with workdir.lock(tmp_path / 'two'):
    with pytest.raises(ValueError, match='another process is writing to'):
      run.run_all(cells, tmp_path)
  assert not measured


def test_cells_that_a_report_would_mix_are_told(pair, measured, tmp_path):
  cells = _cells(pair, tmp_path, pair=str(tmp_path / 'one_pair'))
  with pytest.raises(ValueError, match='cells one and two have pair one_pair'):
    run.run_all(cells, tmp_path)
  assert not measured


def test_a_pair_without_room_for_a_prompt_is_told(pair):
  from speccascade import pairs, tasks

  task = tasks.load('word_problems', {})
  object.__setattr__(task, 'max_new_tokens', 100_000)
  with pytest.raises(ValueError, match='no room for a prompt'):
    batches.load(pairs.load(pair), task, 'test', 1)
