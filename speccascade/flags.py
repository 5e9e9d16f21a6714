"""What experiments with a config file share on the command line."""

from absl import flags


def parse(argv):
  """Parses flags; a mistyped or broken config is one line, not a traceback."""
  try:
    rest = flags.FLAGS(argv)
    # A file that could not be read complains when it is first looked into.
    getattr(flags.FLAGS['config'].value, 'keys', None)
    return rest
  except (AttributeError, KeyError) as error:
    reason = f'no config field {error.args[0]}; the config file lists them'
  except (OSError, SyntaxError, TypeError, ValueError, flags.Error) as error:
    reason = str(error).strip().splitlines()[-1].strip()
  raise SystemExit(f'{argv[0]}: {reason}')
