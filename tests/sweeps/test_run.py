import os
import pathlib
import random
import subprocess
import sys
import time

import ml_collections
import pytest

from speccascade import records
from speccascade.sweeps import run
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
  files = pathlib.Path(workdir).rglob('*.json*')
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
    assert row['num_examples'] == 10
    assert len(row['seconds']) == len(row['relative_latency']) == 2
    if row['gamma'] is not None:
      assert counts['accepted'] + counts['rejected'] == counts['tokens']
      assert len(counts['accepted_lengths']) == row['gamma'] + 2

  # A finished sweep measures nothing again.
  before = (calm / 'records.jsonl').read_bytes()
  _finish(sweep(calm))
  assert (calm / 'records.jsonl').read_bytes() == before


def test_a_mistyped_field_is_one_line(sweep, tmp_path):
  process = sweep(tmp_path / 'x', '--config.num_exmples=3')
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 1
  assert 'num_exmples' in output
  assert 'Traceback' not in output


def test_cells_are_sweeps_in_folders_of_their_own(monkeypatch, tmp_path):
  config = ml_collections.ConfigDict(
    {'cells': {'one': tiny_pair.config('a'), 'two': tiny_pair.config('b')}}
  )
  ran = []
  monkeypatch.setattr(
    run, 'run', lambda c, workdir: ran.append((c.pair, workdir)) or [c.pair]
  )
  assert run.run_all(config, str(tmp_path)) == ['a', 'b']
  assert ran == [('a', tmp_path / 'one'), ('b', tmp_path / 'two')]
  ran.clear()
  config.cells.two.trials = 0
  with pytest.raises(ValueError, match='trials=0'):
    run.run_all(config, str(tmp_path))
  assert not ran  # Before the first is begun.
