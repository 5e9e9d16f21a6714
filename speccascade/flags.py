"""What experiments with a config file share on the command line."""

from absl import app


def parse(argv):
  """Parses flags; a mistyped config field is one line, not a traceback."""
  try:
    return app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError) as error:
    raise SystemExit(
      f'no config field {error.args[0]}; the config file lists them'
    ) from None
