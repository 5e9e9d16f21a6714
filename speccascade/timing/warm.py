"""First runs, side by side on a CPU: compiling takes most of their time."""

from collections.abc import Callable, Iterable
from concurrent import futures
from typing import Any

import jax

from speccascade import hosts
from speccascade.runs import workers

_MOST = 8  # Threads: each compiles a program, which takes memory.


def up(runs: Iterable[Callable[[], Any]]) -> None:
  """Runs each function once and waits for what it computes.

  Args:
    runs: functions whose programs differ, so that none is compiled twice.

  Raises:
    Exception: what the first that failed, in their order, raised. Others
      that were begun may run on.
  """
  number = hosts.threads(min(_MOST, workers.cores()))
  pool = futures.ThreadPoolExecutor(number)
  try:
    for done in [pool.submit(_run, run) for run in runs]:
      done.result()
  finally:
    pool.shutdown(wait=False, cancel_futures=True)


def _run(run):
  jax.block_until_ready(run())
