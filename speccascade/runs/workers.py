"""Shares work out to other processes.

They import this module, so it does not import JAX.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any


def cores() -> int:
  """Returns how many cores this process may use, fewer than its host has."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def each(
  function: Callable[[Any], Any], items: Iterable[Any], number: int
) -> Iterator[Any]:
  """Yields `function` of each item, in order.

  Args:
    function: is pickled, as are items and what it returns.
    items: what it is called with.
    number: processes.

  Raises:
    futures.BrokenExecutor: one was killed.
  """
  # A forked child of a process that has started JAX can deadlock.
  context = multiprocessing.get_context('spawn')
  with futures.ProcessPoolExecutor(number, context, _end_with_parent) as pool:
    with _uninterrupted():
      results = pool.map(function, items)
    yield from results


def _end_with_parent():
  """Ends this process once its parent has, even by a kill."""

  def wait():
    multiprocessing.parent_process().join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _uninterrupted():
  """Ignores Ctrl-C, for good in processes that start here."""
  if threading.current_thread() is not threading.main_thread():
    yield  # Signals are the main thread's.
    return
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, before)
