"""Joins this process to those of one job, by flags or as a TPU or SLURM tells.

JAX aborts a process (exit code 134) whose job another one has left: at once
where that was process 0 or closed a connection, else within `_SILENT` seconds.
It does so, too, where others do not come within `_START` seconds.
"""

import sys
from collections.abc import Callable

import jax
from absl import flags

from speccascade.runs import process

_SILENT = 30  # Seconds until a process that is not heard of is dead.
_START = 300  # Seconds until all have come.
_END = 3600  # Seconds that the others wait while the first writes its report.
_NAMES = 'coordinator_address', 'num_processes', 'process_id'


def define_flags() -> Callable[[], None]:
  """Defines --distributed, and the three flags that name a job.

  Returns:
    () -> None, which joins the job if there is one. It is called before
    anything asks JAX for devices, and raises ValueError where flags do not go
    together or nothing tells of a job.
  """
  detect = flags.DEFINE_bool(
    'distributed', False, 'Join the processes that the TPU or SLURM tells of.'
  )
  named = [
    flags.DEFINE_string(_NAMES[0], None, 'HOST:PORT of process 0 of the job.'),
    flags.DEFINE_integer(_NAMES[1], None, 'Processes of the job.', 1),
    flags.DEFINE_integer(_NAMES[2], None, 'Of this one, from 0.', 0),
  ]

  def join():
    given = {flag.name: flag.value for flag in named if flag.value is not None}
    _check(given, detect.value)
    if detect.value or given:
      _join(given)

  return join


def _check(given, detect):
  if given and detect:
    raise ValueError(
      f'--distributed finds what --{next(iter(given))} tells: give one of them'
    )
  if not given:
    return
  if lacking := [name for name in _NAMES if name not in given]:
    raise ValueError(
      f'--{lacking[0]} is missing: a job needs --coordinator_address, '
      '--num_processes and --process_id'
    )
  address, number, own = (given[name] for name in _NAMES)
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal():
    raise ValueError(
      f'--coordinator_address must be HOST:PORT of process 0, got {address!r}'
    )
  if own >= number:
    raise ValueError(
      f'--process_id must be in 0..{number - 1}, as --num_processes tells, got '
      f'{own}'
    )


def _join(given):
  # It would take SIGTERM for itself; see `process.answer_termination`.
  jax.config.update('jax_enable_preemption_service', False)
  process.number = given.get('process_id')
  whom = given.get('coordinator_address', 'a coordinator')
  told = f'waits for {whom} and all processes, at most {_START} s'
  print(f'{process.named("job")}: {told}', file=sys.stderr, flush=True)
  try:
    jax.distributed.initialize(
      **given,
      cluster_detection_method='deactivate' if given else None,
      initialization_timeout=_START,
      heartbeat_timeout_seconds=_SILENT,
      shutdown_timeout_seconds=_END,
    )
  except ValueError as error:
    raise ValueError(
      f'--distributed: neither a TPU nor SLURM tells of processes ({error}); '
      'give --coordinator_address, --num_processes and --process_id'
    ) from error
  process.number = jax.process_index() if jax.process_count() > 1 else None
  if process.number:
    process.discard(1)  # The first tells what all have found.
