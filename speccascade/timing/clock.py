"""The clock of every timing; tests replace `now`.

Callers use `clock.now()`, not `from clock import now`, so that they see the
replacement.
"""

import time
from collections.abc import Callable
from typing import Any

import jax

from speccascade import hosts

RESOLUTION = time.get_clock_info('perf_counter').resolution  # Seconds.


def now() -> float:
  """Returns seconds since a fixed, unspecified moment."""
  return time.perf_counter()


def sleep(seconds: float) -> None:
  """Waits so many seconds."""
  time.sleep(seconds)


def date() -> float:
  """Returns seconds since 1970, for what tells when it was written."""
  return time.time()


def seconds(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
  """Times one call; processes of one job have the time of the first.

  Args:
    function: what is called; dispatch may be asynchronous.
    *args: its arguments.

  Returns:
    The result, blocked until ready, and the seconds until then.
  """
  start = now()
  result = jax.block_until_ready(function(*args))
  return result, hosts.number_of_first(now() - start)
