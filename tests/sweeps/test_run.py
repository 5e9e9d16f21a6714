import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import ml_collections
import pytest

from speccascade import benchmark, records, workdir
from speccascade.sweeps import run, settings, workload
from tests.sweeps import tiny_pair

_ROOT = pathlib.Path(__file__).parents[2]
_KILLS = 10
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
def sweep(tmp_path_factory):
  """start(workdir) -> process, of one small config; compiles are shared."""
  folder = tmp_path_factory.mktemp('sweep')
  pair = tiny_pair.save(folder / 'pair')
  config = folder / 'config.py'
  config.write_text(
    f'from tests.sweeps import tiny_pair\n\n'
    f'def get_config():\n  return tiny_pair.config({pair!r})\n'
  )
  environment = dict(
    os.environ,
    PYTHONPATH=str(_ROOT),
    JAX_PLATFORMS='cpu',
    GIT_DIR=os.devnull,  # Edits while this runs do no harm.
    XLA_FLAGS='',
    JAX_COMPILATION_CACHE_DIR=str(folder / 'compiled'),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
  )

  def start(workdir, *flags):
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

  return start


def _finish(process):
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return output


def _size(workdir):
  # Files that nothing replaces: one could be gone before its size is read.
  files = pathlib.Path(workdir).rglob('*.jsonl')
  return sum(f.stat().st_size for f in files)


def _lasting(workdir):
  kept = records.read(workdir / 'records.jsonl')
  return [{k: v for k, v in r.items() if k not in _OF_THE_MOMENT} for r in kept]


@pytest.mark.slow
def test_killed_ten_times_it_gives_the_records_of_an_undisturbed_run(
  sweep, tmp_path
):
  calm, killed = tmp_path / 'calm', tmp_path / 'killed'
  output = _finish(sweep(calm))
  assert 'token_v3' in output
  total = _size(calm)

  # At random points of what it writes, each after a random while in which it
  # computes, times or writes on.
  rng = random.Random(0)
  marks = sorted(rng.uniform(0, 0.95 * total) for _ in range(_KILLS))
  for turn, mark in enumerate(marks):
    process = sweep(killed)
    while _size(killed) < mark and process.poll() is None:
      time.sleep(0.001)
    time.sleep(rng.choice((0, rng.uniform(0, 0.3))))
    process.kill()
    assert process.wait() == -9, process.communicate()[0]
    if turn % 2:  # A write that the kill cut short.
      for name in ('records.jsonl', 'timings.jsonl', 'outputs/strict.jsonl'):
        if (killed / name).exists():
          with open(killed / name, 'a') as f:
            f.write('{"id": "strict-g1-t0-p')
  _finish(sweep(killed))

  assert _lasting(killed) == _lasting(calm)
  for path in (calm / 'outputs').iterdir():
    again = killed / 'outputs' / path.name
    assert sorted(again.read_text().splitlines()) == sorted(
      path.read_text().splitlines()
    )
  assert (killed / 'report.md').exists()
  assert (killed / 'quality_latency.png').exists()

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

  # A finished sweep measures nothing again.
  before = (calm / 'records.jsonl').read_bytes()
  _finish(sweep(calm))
  assert (calm / 'records.jsonl').read_bytes() == before


def test_a_workdir_that_cannot_be_written_is_one_line(sweep, tmp_path):
  file = tmp_path / 'file'
  file.touch()
  process = sweep(file)
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 1
  told = f"File exists: '{file}'; check that --workdir is a folder to write to"
  assert output == f'sweep: [Errno 17] {told}\n'


@pytest.mark.parametrize('torn', ['', '{"drafter', '{}', '3'])
def test_torn_costs_are_measured_again(pair, monkeypatch, tmp_path, torn):
  costs = benchmark.Costs(1.0, {1: 2.0}, {32: {'drafter': 3.0}})
  monkeypatch.setattr(benchmark, 'costs', lambda *_: costs)
  config, path = tiny_pair.config(pair), tmp_path / 'costs.json'
  path.write_text(torn)
  load = workload.load(config)
  widths = [64] * len(load.length_N)
  got = run._with_costs(load, settings.plans(config), widths, path)
  assert got.costs == costs
  assert json.loads(path.read_text())['drafter_step'] == 1.0


def test_a_mistyped_field_is_one_line(sweep, tmp_path):
  process = sweep(tmp_path / 'x', '--config.num_exmples=3')
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 1
  assert 'num_exmples' in output
  assert 'Traceback' not in output


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('cells') / 'pair')


@pytest.fixture
def two_cells(pair, tmp_path, monkeypatch):
  """A config of two pairs that share a task; what `_measure` was given."""
  cells = {
    name: tiny_pair.config(
      str(shutil.copytree(pair, tmp_path / f'{name}_pair'))
    )
    for name in ('one', 'two')
  }
  measured = []
  monkeypatch.setattr(
    run,
    '_measure',
    lambda begun: measured.append(begun.workdir) or [begun.load.pair.name],
  )
  return ml_collections.ConfigDict({'cells': cells}), measured


def test_cells_are_sweeps_in_folders_of_their_own(
  two_cells, tmp_path, monkeypatch
):
  config, measured = two_cells
  monkeypatch.setattr(run.jax, 'clear_caches', lambda: measured.append('free'))
  assert run.run_all(config, str(tmp_path)) == ['one_pair', 'two_pair']
  # No cell keeps the programs of the one before.
  assert measured == [tmp_path / 'one', 'free', tmp_path / 'two', 'free']


@pytest.mark.parametrize(
  ('field', 'value', 'told'),
  [
    ('trials', 0, 'trials=0'),
    ('pair', 'nobody', "no pair 'nobody'"),
    ('task', 'nothing', "unknown task 'nothing'"),
    ('max_prompt_tokens', 3, 'more than max_length 3'),
  ],
)
def test_the_last_cell_is_checked_before_the_first_is_begun(
  two_cells, tmp_path, field, value, told
):
  config, measured = two_cells
  config.cells.two[field] = value
  with pytest.raises(ValueError, match=told):
    run.run_all(config, tmp_path)
  assert not measured


def test_a_foreign_folder_of_the_last_cell_is_told_first(two_cells, tmp_path):
  config, measured = two_cells
  run.run(config.cells.two, tmp_path / 'two')
  measured.clear()
  config.cells.two.seed = 1
  with pytest.raises(ValueError, match='two holds a run with another seed'):
    run.run_all(config, tmp_path)
  with workdir.lock(tmp_path / 'two'):
    with pytest.raises(ValueError, match='another process is writing to'):
      run.run_all(config, tmp_path)
  assert not measured


def test_cells_that_a_report_would_mix_are_told(two_cells, tmp_path):
  config, measured = two_cells
  config.cells.two.pair = config.cells.one.pair
  with pytest.raises(ValueError, match='cells one and two are both pair one_p'):
    run.run_all(config, tmp_path)
  assert not measured


def test_a_sweep_goes_on_with_the_models_and_code_that_began_it(
  two_cells, tmp_path, monkeypatch
):
  config = two_cells[0].cells.one
  run.run(config, tmp_path / 'x')
  run.run(config, tmp_path / 'x')
  model = pathlib.Path(config.pair) / 'drafter.safetensors'
  kept = model.read_bytes()
  model.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
  with pytest.raises(ValueError, match=r'made with sha256\.drafter'):
    run.run(config, tmp_path / 'x')
  model.write_bytes(kept)
  with monkeypatch.context() as m:
    m.setattr(run.workdir_lib, 'code_digest', lambda: 'other')
    with pytest.raises(ValueError, match=r'made with sha256\.code'):
      run.run(config, tmp_path / 'x')
  now = records.environment() | {'git_revision': 'other'}
  monkeypatch.setattr(records, 'environment', lambda: now)
  with pytest.raises(
    ValueError, match=r'git_revision .* \(now other\); choose'
  ):
    run.run(config, tmp_path / 'x')
