"""Joins this process to those of one job, by flags or as a TPU or SLURM tells.

JAX aborts a process (exit code 134) whose job another one has left: at once
where that was process 0 or closed a connection, else within `process.SILENT`
seconds. It does so, too, where others do not come within `_START` seconds.
"""

import functools
import hashlib
import os
import socket
import sys
from collections.abc import Callable
from concurrent import futures

import jax
from absl import flags

from speccascade import hosts
from speccascade.runs import process

_START = 300  # Seconds until all have come.
_END = 3600  # Seconds that the others wait while the first writes its report.
_NAMES = 'coordinator_address', 'num_processes', 'process_id'
_FLAGS = 'XLA_FLAGS', 'LIBTPU_INIT_ARGS'
_OPTIONS = (
  'jax_enable_x64', 'jax_default_matmul_precision', 'jax_default_prng_impl',
  'jax_threefry_partitionable', 'jax_disable_most_optimizations',
)  # fmt: skip


def define_flags() -> Callable[[], None]:
  """Defines --distributed, and the three flags that name a job.

  Returns:
    () -> None, which joins the job if there is one. It is called before
    anything asks JAX for devices, and raises ValueError where flags do not go
    together, nothing tells of a job, the port is taken, or processes have
    other flags of XLA or options of JAX.
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
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise ValueError(
      f'--coordinator_address must be HOST:PORT of process 0, got {address!r}'
    )
  if own >= number:
    raise ValueError(
      f'--process_id must be in 0..{number - 1}, as --num_processes tells, got '
      f'{own}'
    )
  if own == 0:
    _check_port(int(port))


def _check_port(port):
  """JAX crashes where it cannot listen."""
  dual = socket.has_dualstack_ipv6()
  family = socket.AF_INET6 if dual else socket.AF_INET
  try:
    with socket.create_server(('', port), family=family, dualstack_ipv6=dual):
      pass
  except OSError as error:
    raise ValueError(
      f'--coordinator_address: process 0 cannot listen at port {port} '
      f'({error.strerror}); choose another, the same for all processes'
    ) from error


def _join(given):
  # It would take SIGTERM for itself; see `process.answer_termination`.
  jax.config.update('jax_enable_preemption_service', False)
  process.number = given.get('process_id')
  whom = given.get('coordinator_address', 'a coordinator')
  told = f'waits for {whom} and all processes, at most {_START} s'
  print(f'{process.named("job")}: {told}', file=sys.stderr, flush=True)
  initialize = functools.partial(
    jax.distributed.initialize,
    **given,
    cluster_detection_method='deactivate' if given else None,
    initialization_timeout=_START,
    heartbeat_timeout_seconds=process.SILENT,
    shutdown_timeout_seconds=_END,
  )
  try:
    # This thread hears signals, while another waits in C++.
    with futures.ThreadPoolExecutor(1) as pool:
      pool.submit(initialize).result()
  except ValueError as error:
    raise ValueError(
      f'--distributed: neither a TPU nor SLURM tells of processes ({error}); '
      'give --coordinator_address, --num_processes and --process_id'
    ) from error
  process.number = jax.process_index() if jax.process_count() > 1 else None
  if process.number:
    process.discard(1)  # The first tells what all have found.
  hosts.check_alike(
    {name: _digest(value) for name, value in _settings().items()}
  )


def _settings():
  """What programs are compiled by beside the config of a run."""
  told = {name: os.environ.get(name, '') for name in _FLAGS}
  told['XLA_FLAGS'] = [
    x for x in told['XLA_FLAGS'].split() if not x.startswith('--xla_dump')
  ]
  return told | {x.upper(): getattr(jax.config, x, None) for x in _OPTIONS}


def _digest(value):
  return hashlib.sha256(repr(value).encode()).digest()
