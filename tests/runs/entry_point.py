"""Runs an entry point in this process."""

import pathlib
import runpy
import signal
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[2]


def call(name, *args):
  """Runs experiments/{name}.py with flags, then forgets its flags.

  The libraries it imports stay loaded, so a test can replace their functions
  before the call; `capsys` captures its output.

  Returns:
    What it exits with: None, a line of an error or a number.
  """
  path = ROOT / 'experiments' / f'{name}.py'
  return run_file(path, *args)


def run_file(path, *args):
  """As `call`, for any file."""
  app.define_help_flags()
  known, argv = set(flags.FLAGS), sys.argv
  handlers = {x: signal.getsignal(x) for x in (signal.SIGINT, signal.SIGTERM)}
  sys.argv = [str(path), *map(str, args)]
  try:
    runpy.run_path(str(path), run_name='__main__')
  except SystemExit as end:
    return end.code
  finally:
    sys.argv = argv
    for number, handler in handlers.items():
      signal.signal(number, handler)  # It would end all tests.
    for flag in set(flags.FLAGS) - known:
      delattr(flags.FLAGS, flag)
    flags.FLAGS.unparse_flags()
  raise AssertionError(f'{path} returned without an exit')
