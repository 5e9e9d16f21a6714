"""A grid of rules and values whose process is killed, again and again."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

_VALUES = '(0.05, 0.2, 0.4, 0.6)'
_RULES = (
  'chow', 'diff', 'opt', 'token_v1', 'token_v2', 'token_v3', 'fsd_js',
  'mixture',
)  # fmt: skip
_EXAMPLES = 24


def _start(workdir):
  methods = ', '.join(f'{name!r}: {_VALUES}' for name in _RULES)
  return subprocess.Popen(
    [
      sys.executable,
      'experiments/sweep.py',
      '--config=configs/quickstart.py',
      f'--workdir={workdir}',
      f'--config.methods={{{methods}}}',
      f'--config.num_examples={_EXAMPLES}',
      '--config.batch_size=16',
      '--config.gammas=(5,)',
      '--config.temperatures=(1.0,)',
      '--config.latency_examples=1',
      '--config.trials=1',
    ],
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )


def _outputs(workdir):
  """{(id, example): line} of a folder, in which none is twice."""
  found = {}
  for file in (workdir / 'outputs').glob('*.jsonl'):
    for line in file.read_text().splitlines():
      own = json.loads(line)
      key = own['id'], own['example']
      assert key not in found
      found[key] = own
  return found


def _size(workdir):
  return sum(f.stat().st_size for f in (workdir / 'outputs').glob('*.jsonl'))


def _end_once_written(run, workdir, size):
  """Kills a run that has appended so much; returns whether it ran till then."""
  while run.poll() is None:
    if (workdir / 'outputs').is_dir() and _size(workdir) >= size:
      run.send_signal(signal.SIGKILL)
      run.wait()
      return True
    time.sleep(0.02)
  return False


@pytest.mark.large
def test_nothing_is_lost_and_nothing_twice(tmp_path):
  calm, torn = tmp_path / 'calm', tmp_path / 'torn'
  assert _start(calm).wait() == 0
  whole, rng = _outputs(calm), random.Random(0)
  assert len(whole) == (len(_RULES) * 4 + 3) * _EXAMPLES
  marks = sorted(rng.uniform(0, _size(calm)) for _ in range(5))
  killed = [_end_once_written(_start(torn), torn, mark) for mark in marks]
  assert sum(killed) >= 4
  assert _start(torn).wait() == 0
  assert _outputs(torn) == whole
