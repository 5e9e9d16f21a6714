"""What all entry points share: flags, and errors in one line.

An entry point defines its flags and a `main` without arguments, and ends with

  if __name__ == '__main__':
    command_line.run(main, 'sweep')
"""

import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging


def run(main: Callable[[], None], name: str) -> None:
  """Parses the flags, calls `main` and exits.

  Exits with 1 and one line on a flag or config that cannot be parsed, on
  positional arguments and on a ValueError or OSError; with 130 and one line
  on Ctrl-C; with 0 otherwise. Other exceptions pass.

  Args:
    main: the work; takes no arguments and reads its flags.
    name: of the entry point, which begins the line.
  """

  def call(rest):
    if len(rest) > 1:
      raise SystemExit(f'{name}: unexpected argument {rest[1]!r}')
    logging.set_verbosity(logging.WARNING)
    try:
      main()
    except (ValueError, OSError) as error:
      reason = ' '.join(line.strip() for line in str(error).splitlines())
      raise SystemExit(f'{name}: {reason}') from error
    except KeyboardInterrupt:
      print(f'{name}: interrupted', file=sys.stderr)
      raise SystemExit(130) from None

  app.run(call, flags_parser=parse)


def parse(argv: Sequence[str]) -> list[str]:
  """Parses flags; `app.run` takes it as `flags_parser`.

  Returns:
    The program's name and the positional arguments.

  Raises:
    SystemExit: a flag or config field is mistyped, or the config file cannot
      be read; its message is one line.
  """
  try:
    rest = flags.FLAGS(argv)
    if 'config' in flags.FLAGS:
      # A config flag raises the error of its file at the first access.
      getattr(flags.FLAGS['config'].value, 'keys', None)
    return rest
  except (AttributeError, KeyError) as error:
    reason = f'unknown config field {error.args[0]}'
  except (OSError, SyntaxError, TypeError, ValueError, flags.Error) as error:
    reason = str(error).strip().splitlines()[-1].strip()
  raise SystemExit(f'{pathlib.Path(argv[0]).stem}: {reason}')
