"""Prepares the process of an entry point, which imports this module first.

From then on Ctrl-C and SIGTERM end it at once with one line, even within other
imports, and no stream is closed.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

_MAIN = 'MainProcess'  # As multiprocessing names it.
# Exit statuses, as shells report them. Launchers restart what was terminated.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
ABANDONED = 128 + signal.SIGABRT  # By another process of the job.

# Seconds until JAX aborts a process whose job another one has left.
SILENT = 30

_TOLD = {
  signal.SIGINT: 'interrupted',
  signal.SIGTERM: 'terminated; the same command goes on',
}

number: int | None = None  # Of this process in a job of several; set by `job`.


class Terminated(Exception):
  """SIGTERM ended a work that has saved where it was; the text tells where."""


def open_streams() -> None:
  """Opens streams that are closed, so that nothing else gets their numbers.

  What C code logs would be written into the file that is opened next.
  """
  for number in (0, 1, 2):
    try:
      os.fstat(number)
    except OSError:
      discard(number)
  if sys.stdout is None:
    sys.stdout = open(1, 'w', encoding='utf-8', closefd=False)
  if sys.stderr is None:
    sys.stderr = open(2, 'w', encoding='utf-8', closefd=False)


def discard(number: int) -> None:
  """Lets nobody read what is written to a stream from now on.

  Args:
    number: 1 for standard output, 2 for standard error.
  """
  null = os.open(os.devnull, os.O_RDWR)
  if null != number:
    os.dup2(null, number)
    os.close(null)
  os.set_inheritable(number, True)


def answer_interrupts() -> None:
  """Lets Ctrl-C end this process, and its workers, with one line.

  It does not raise KeyboardInterrupt, which callbacks of JAX swallow and
  imports of C code crash on. Nothing is lost: whatever was written is on disk.
  """
  if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
    return  # As of a job in the background.
  signal.signal(signal.SIGINT, signal.SIG_IGN if _is_worker() else _end)
  # Workers' locks that are left are removed by a process that would tell so.
  sys.warnoptions.append('ignore:resource_tracker')


def answer_termination() -> None:
  """Lets SIGTERM, as of a preemption, end this process and its workers.

  Nothing is lost, as for Ctrl-C. Linux keeps SIGTERM from the first process of
  a container, unless it is asked for. Python calls no handler while JAX
  compiles: what is killed then has lost nothing either.
  """
  if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and not _is_worker():
    signal.signal(signal.SIGTERM, _end)


def named(name: str) -> str:
  """Returns the name of an entry point, with this process's of several."""
  return name if number is None else f'{name}[{number}]'


def leave(code: int) -> None:
  """Ends this process at once, so that the others of its job end, too.

  A process that ends in order waits for them.
  """
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(Exception):
      stream.flush()
  os._exit(code)


def _end(signal_number, _):
  name, _ = os.path.splitext(os.path.basename(sys.argv[0]))
  with contextlib.suppress(Exception):
    sys.stdout.flush()
  with contextlib.suppress(OSError):
    start = '\n' if os.isatty(2) else ''  # After ^C, or a bar.
    os.write(2, f'{start}{named(name)}: {_TOLD[signal_number]}\n'.encode())
  for worker in _processes().active_children() if _processes() else ():
    worker.kill()  # A library may tell of SIGTERM at length, or ignore it.
  os._exit(128 + signal_number)


def _is_worker():
  # A worker has a name by now, and no parent yet.
  return _processes() and _processes().current_process().name != _MAIN


@contextlib.contextmanager
def deferred_termination(
  most: float | None = None,
) -> Iterator[Callable[[], bool]]:
  """Yields what tells whether SIGTERM came, which ends nothing meanwhile.

  Who sees that it came saves and raises `Terminated`. In a thread other than
  the main one, whose signals are, it never comes.

  Args:
    most: seconds after SIGTERM that the process ends by itself; None is never.
  """
  came = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield came.is_set
    return
  timers = []

  def hear(number, frame):
    if most is not None and not came.is_set():
      timers.append(threading.Timer(most, _end, (number, frame)))
      timers[0].daemon = True
      timers[0].start()
    came.set()

  before = signal.signal(signal.SIGTERM, hear)
  try:
    yield came.is_set
  finally:
    signal.signal(signal.SIGTERM, before)
    for timer in timers:
      timer.cancel()
  if timers:  # It came after the work had last looked.
    _end(signal.SIGTERM, None)


def _processes():
  """The module of worker processes, where anything has imported it."""
  return sys.modules.get('multiprocessing')


open_streams()
answer_interrupts()
answer_termination()
