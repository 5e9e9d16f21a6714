"""A tiny sweep by two processes of four devices each, on this machine."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
LONG = 600  # Seconds that any wait may take on a busy machine.

_CONFIG = """
from tests.sweeps import tiny_pair
tiny_pair.shorten(8)

def get_config():
  return tiny_pair.config({pair!r}, **{changes!r})
"""


def write_config(path, pair, **changes):
  """Writes a config of `tiny_pair.config`, for short answers; returns path."""
  path.write_text(_CONFIG.format(pair=pair, changes=changes))
  return path


def sweep(number=2, devices=4, **values):
  """Starts `experiments/sweep.py`; see `start`."""
  return start(ROOT / 'experiments' / 'sweep.py', number, devices, **values)


def start(file, number=2, devices=4, **values):
  """Starts a file of Python in several processes of one job.

  Args:
    file: with the flags of `runs.job`.
    number: of processes; one is no job.
    devices: of each process.
    **values: {flag: its value, or a tuple of one for each process}.

  Returns:
    subprocess.Popen of each.
  """
  if number > 1:
    values |= {
      'coordinator_address': f'127.0.0.1:{free_port()}',
      'num_processes': number,
      'process_id': tuple(range(number)),
    }
  flags = f'--xla_force_host_platform_device_count={devices}'
  environment = os.environ | {
    'PYTHONPATH': str(ROOT),
    'JAX_PLATFORMS': 'cpu',
    'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {flags}',
    'TF_CPP_MIN_LOG_LEVEL': '2',  # No notes on how arrays are divided.
  }
  own = lambda x, i: x[i] if isinstance(x, tuple) else x  # noqa: E731
  return [
    subprocess.Popen(
      [
        sys.executable,
        str(file),
        *(f'--{name}={own(value, i)}' for name, value in values.items()),
      ],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(number)
  ]


def ended(processes):
  """Waits; returns [(exit code, stdout, stderr)]. None is left behind."""
  with contextlib.ExitStack() as stack:
    for process in processes:
      stack.callback(process.kill)
    told = [process.communicate(timeout=LONG) for process in processes]
  return [(p.returncode, *x) for p, x in zip(processes, told, strict=True)]


def free_port(least=0):
  """Returns a port that nothing uses, the first from `least` on if given."""
  while True:
    with contextlib.suppress(OSError), socket.socket() as free:
      free.bind(('127.0.0.1', least))
      return free.getsockname()[1]
    least += 1
