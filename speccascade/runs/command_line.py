"""What all entry points share: flags, and errors in one line.

An entry point imports `process` before anything else, defines its flags and a
`main` without arguments, and ends with

  if __name__ == '__main__':
    command_line.run(main, 'sweep')
"""

import errno
import io
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent import futures

from absl import app, flags, logging

from speccascade import config
from speccascade.runs import config_file, process

# Of a flag or config: their text alone tells what is wrong.
_PLAIN = OSError, SyntaxError, TypeError, ValueError, flags.Error
_READER_GONE = 128 + signal.SIGPIPE  # As shells report it.


def run(main: Callable[[], None], name: str) -> None:
  """Parses the flags, calls `main` and exits.

  Exits with 0; with 130 and one line on Ctrl-C; with 143 and one line on
  SIGTERM, as of a preemption; with 141, quietly, where the reader of what is
  printed has gone; with 1 and one line on a flag or config that cannot be
  parsed, on positional arguments, on a ValueError, an OSError or a missing
  library, and where memory runs out. Other exceptions are bugs: they pass, with
  their traceback.

  In a job of several processes the line names this one, and whatever it ends
  with but 0 ends the others; with 134 where another has ended.

  Args:
    main: the work; takes no arguments and reads its flags.
    name: of the entry point, which begins the line.
  """
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='replace')  # Of an ASCII terminal.
  try:
    _run(main, name)
  except BaseException as error:
    code = getattr(error, 'code', 1)
    if code == process.TERMINATED:  # Threads may compile for minutes yet.
      process.leave(code)
    if process.number is None or code in (None, 0):
      raise
    code = _tell(error)
    if code != process.ABANDONED and _is_of_jax(error):
      # Of a bug, or of a process that has ended: then JAX aborts this one, too.
      threading.Event().wait(process.SILENT + 5)
    process.leave(code)


def _tell(error):
  """Tells what Python would at the end; returns the exit code."""
  if not isinstance(error, SystemExit):
    traceback.print_exception(error)
    return 1
  if isinstance(error.code, int):
    return error.code
  print(error.code, file=sys.stderr)
  return 1


def _run(main, name):
  try:
    try:
      app.run(lambda rest: _call(main, rest), flags_parser=parse)
    finally:
      sys.stdout.flush()
  except KeyboardInterrupt:
    print(f'{process.named(name)}: interrupted', file=sys.stderr)
    raise SystemExit(process.INTERRUPTED) from None
  except process.Terminated as error:
    print(f'{process.named(name)}: terminated; {error}', file=sys.stderr)
    raise SystemExit(process.TERMINATED) from None
  except Exception as error:
    _drop_what_cannot_be_printed()
    if isinstance(error, BrokenPipeError) and _is_reader_gone():
      raise SystemExit(_READER_GONE) from None
    if (reason := _reason(error)) is None:
      raise
    told = f'{process.named(name)}: {config.one_line(reason)}'
    if _is_abandoned(error):
      print(told, file=sys.stderr)
      raise SystemExit(process.ABANDONED) from None
    raise SystemExit(told) from error


def _call(main, rest):
  if len(rest) > 1:
    raise ValueError(f'unexpected argument {rest[1]!r}')
  logging.set_verbosity(logging.WARNING)
  main()


def parse(argv: Sequence[str]) -> list[str]:
  """Parses flags; `app.run` takes it as `flags_parser`.

  Returns:
    The program's name and the positional arguments.

  Raises:
    ValueError: a flag or config field is mistyped, or the config file cannot
      be read or fails.
  """
  if 'config' in flags.FLAGS:
    flag = flags.FLAGS['config']
    flag.parser = config_file.Parser(flag)
  try:
    return flags.FLAGS(argv)
  except Exception as error:
    reason = (str(error).strip().splitlines() or [''])[-1].strip()
    if isinstance(error, AttributeError | KeyError) and _is_of(
      error, 'ml_collections'
    ):
      told = error
      while isinstance(told, Exception):  # One holds another.
        told = told.args[0]
      reason = f'unknown config field {"; ".join(str(told).splitlines())}'
    elif not isinstance(error, _PLAIN):
      reason = f'{reason} ({type(error).__name__})'
    raise ValueError(reason) from error


def _is_of(error, library):
  """Whether a library raised it."""
  return library in traceback.extract_tb(error.__traceback__)[-1].filename


_REMEDIES = {
  errno.ENOSPC: 'free some space and start again; what is done is kept',
  errno.EDQUOT: 'free some space and start again; what is done is kept',
  errno.EACCES: 'choose a place that you may read and write',
  errno.EPERM: 'choose a place that you may read and write',
  errno.EROFS: 'choose a place that you may read and write',
  errno.EEXIST: 'a file is where a folder must be; choose another folder',
  errno.ENOTDIR: 'a file is where a folder must be; choose another folder',
  errno.EISDIR: 'a folder is where a file must be; choose another file',
  errno.ENAMETOOLONG: 'choose a shorter name',
  errno.EMFILE: 'raise the limit of open files (ulimit -n)',
}


def _reason(error):
  """What an exception tells the user; None of a bug."""
  text = str(error).strip() or type(error).__name__
  if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in text:
    return (
      f'not enough memory ({text.splitlines()[0]}); lower batch_size, or use '
      'shorter texts or a smaller model'
    )
  if _is_abandoned(error):
    return f'another process of the job has ended ({text.splitlines()[0]})'
  if isinstance(error, futures.BrokenExecutor):
    return f'{text}; perhaps memory ran out'
  if isinstance(error, OSError) and error.strerror:
    of = '' if error.filename is None else f': {error.filename!r}'
    remedy = _REMEDIES.get(error.errno)
    return f'{error.strerror}{of}' + (f'; {remedy}' if remedy else '')
  if isinstance(error, KeyError) and _is_of(error, 'etils'):
    return (
      f'no path can begin with {error.args[0]}; use a folder or file of this '
      'machine, or gs://'
    )
  known = ValueError, OSError, RecursionError, ImportError
  return text if isinstance(error, known) else None


def _is_of_jax(error):
  """Whether it began with an error of JAX's own, but for want of memory."""
  while error is not None:
    if type(error).__name__ == 'JaxRuntimeError':
      return 'RESOURCE_EXHAUSTED' not in str(error)
    error = error.__cause__ or error.__context__
  return False


def _is_abandoned(error):
  """Whether the sockets of a job on CPUs tell that another has ended."""
  return process.number is not None and 'Gloo' in str(error)


def _is_reader_gone():
  """Whether standard output or error is a pipe that nobody reads."""
  poll = select.poll()
  for number in (1, 2):
    poll.register(number, 0)
  return any(event & select.POLLERR for _, event in poll.poll(0))


def _drop_what_cannot_be_printed():
  """Or Python tries once more at the end, and complains."""
  try:
    sys.stdout.flush()
  except OSError:
    process.discard(1)
  except ValueError:  # Closed.
    pass
