"""A sweep resumes after any kill, and refuses a folder of another run."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest

from speccascade.runs import environment, records, workdir
from speccascade.sweeps import batches, points, run
from speccascade.sweeps import config as config_lib
from speccascade.timing import costs as costs_lib
from tests.sweeps import tiny_pair

_ROOT = pathlib.Path(__file__).parents[2]
_KILLS = 11
# What may differ between two runs of one config.
_OF_THE_MOMENT = (
  'git_revision',
  'seconds',
  'example_seconds',
  'predicted_seconds',
  'verifier_seconds',
  'strict_seconds',
  'relative_latency',
)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('run') / 'pair')


@pytest.fixture(scope='module')
def calm(pair, tmp_path_factory):
  """The folder of an undisturbed run."""
  folder = tmp_path_factory.mktemp('run') / 'calm'
  run.run(tiny_pair.sweep(pair), folder)
  return folder


def _size(folder):
  # Files that nothing replaces: one could be gone before its size is read.
  return sum(f.stat().st_size for f in pathlib.Path(folder).rglob('*.jsonl'))


def _lasting(folder):
  kept = records.read(folder / 'records.jsonl')
  return [{k: v for k, v in r.items() if k not in _OF_THE_MOMENT} for r in kept]


def _check_same(killed, calm):
  assert _lasting(killed) == _lasting(calm)
  for path in (calm / 'outputs').iterdir():
    again = killed / 'outputs' / path.name
    assert sorted(again.read_text().splitlines()) == sorted(
      path.read_text().splitlines()
    )


class _Killed(BaseException):
  """Stands for the end of the process: nothing catches it."""


def _kill_at(monkeypatch, mark):
  """Ends the run once so many bytes were appended, the last line torn."""
  left = [mark]
  append = records.append_lines

  def append_until(path, objects):
    text = ''.join(json.dumps(x) + '\n' for x in objects)
    if len(text) < left[0]:
      left[0] -= len(text)
      append(path, objects)
      return
    append(path, [])
    with open(path, 'a') as f:
      f.write(text[: left[0]])
    raise _Killed

  monkeypatch.setattr(records, 'append_lines', append_until)


def test_ended_at_any_byte_it_gives_the_records_of_an_undisturbed_run(
  pair, calm, tmp_path, monkeypatch
):
  sweep, total, rng = tiny_pair.sweep(pair), _size(calm), random.Random(0)
  for _ in range(_KILLS):
    with monkeypatch.context() as patch:
      _kill_at(patch, 1 + rng.randrange(total // 6))
      try:
        run.run(sweep, tmp_path)
        break
      except _Killed:
        pass
  run.run(sweep, tmp_path)
  _check_same(tmp_path, calm)

  # 2 models alone; strict, chow and two token_v3 at 2 gammas; 2 temperatures.
  rows = records.read(calm / 'records.jsonl')
  assert len(rows) == (2 + 4 * 2) * 2
  for row in rows:
    counts = row['counts']
    assert row['pair'] == 'pair'  # Not the path of this machine.
    assert row['num_examples'] == 10
    assert len(row['seconds']) == len(row['relative_latency']) == 2
    if row['gamma'] is not None:
      assert counts['accepted'] + counts['rejected'] == counts['tokens']
      assert len(counts['accepted_lengths']) == row['gamma'] + 2


def test_a_finished_sweep_measures_nothing_again(pair, calm):
  before = (calm / 'records.jsonl').read_bytes()
  run.run(tiny_pair.sweep(pair), calm)
  assert (calm / 'records.jsonl').read_bytes() == before


@pytest.fixture
def start(pair, tmp_path):
  """start(workdir, *flags) -> process of experiments/sweep.py."""
  config = tmp_path / 'config.py'
  config.write_text(
    f'from tests.sweeps import tiny_pair\n\n'
    f'def get_config():\n  return tiny_pair.config({pair!r})\n'
  )
  environment = dict(
    os.environ,
    PYTHONPATH=str(_ROOT),
    JAX_PLATFORMS='cpu',
    JAX_DISABLE_MOST_OPTIMIZATIONS='1',  # As in this process: the same sums.
    GIT_DIR=os.devnull,  # Edits while this runs do no harm.
    XLA_FLAGS='',
    JAX_COMPILATION_CACHE_DIR=str(tmp_path / 'compiled'),
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
def test_a_killed_process_resumes_and_reports(start, calm, tmp_path):
  killed = tmp_path / 'killed'
  process = start(killed)
  while _size(killed) < 0.3 * _size(calm) and process.poll() is None:
    time.sleep(0.001)
  process.kill()
  assert process.wait() == -9, process.communicate()[0]
  process = start(killed)
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  assert 'token_v3' in output
  _check_same(killed, calm)
  assert (killed / 'report.md').exists()
  assert (killed / 'quality_latency.png').exists()


def test_a_wrong_command_line_is_one_line(start, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  expected = {
    (file,): f"sweep: [Errno 17] File exists: '{file}'",
    (tmp_path / 'x', '--config.num_exmples=3'): 'sweep: ',
    (tmp_path / 'x', '--config.trials=0'): 'sweep: trials=0: it must be',
  }
  processes = {arguments: start(*arguments) for arguments in expected}
  for arguments, told in expected.items():
    output, _ = processes[arguments].communicate(timeout=60)
    assert processes[arguments].returncode == 1
    assert output.startswith(told)
    assert output.count('\n') == 1


@pytest.mark.parametrize('torn', ['', '{"drafter', '{}', '3'])
def test_torn_costs_are_measured_again(pair, monkeypatch, tmp_path, torn):
  costs = costs_lib.Costs(1.0, {1: 2.0}, {32: {'drafter': 3.0}})
  monkeypatch.setattr(costs_lib, 'costs', lambda *_: costs)
  sweep, path = tiny_pair.sweep(pair), tmp_path / 'costs.json'
  path.write_text(torn)
  with run._begin(sweep, tmp_path / 'x') as begun:
    widths = [64] * len(begun.load.length_E)
    got = run._with_costs(begun.load, points.plans(sweep), widths, path)
  assert got.costs == costs
  assert json.loads(path.read_text())['drafter_step'] == 1.0


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
    lambda begun: told.append(begun.workdir) or [begun.load.pair.name],
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


def test_a_sweep_goes_on_with_the_models_and_code_that_began_it(
  pair, measured, tmp_path, monkeypatch
):
  sweep = _cells(pair, tmp_path)['one']
  run.run(sweep, tmp_path / 'x')
  run.run(sweep, tmp_path / 'x')
  model = pathlib.Path(sweep.pair) / 'drafter.safetensors'
  kept = model.read_bytes()
  model.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
  with pytest.raises(ValueError, match=r'created with sha256\.drafter'):
    run.run(sweep, tmp_path / 'x')
  model.write_bytes(kept)
  with monkeypatch.context() as m:
    m.setattr(environment, 'code_digest', lambda: 'other')
    with pytest.raises(ValueError, match=r'created with sha256\.code'):
      run.run(sweep, tmp_path / 'x')
  now = environment.describe() | {'git_revision': 'other'}
  monkeypatch.setattr(environment, 'describe', lambda: now)
  with pytest.raises(ValueError, match=r'git_revision .* \(now other\)'):
    run.run(sweep, tmp_path / 'x')


def test_a_pair_without_room_for_a_prompt_is_told(pair):
  from speccascade import pairs, tasks

  task = tasks.load('word_problems', {})
  object.__setattr__(task, 'max_new_tokens', 100_000)
  with pytest.raises(ValueError, match='no room for a prompt'):
    batches.load(pairs.load(pair), task, 'test', 1)
