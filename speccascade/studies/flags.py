"""The flag --config of an entry point that has a default config."""

import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags


def define_config(entry: str) -> flags.FlagHolder:
  """Defines --config, by default the config named as the entry point is.

  The default is added to the command line: as a default of the flag it would
  be parsed, with the fields that the command line gives, before errors are
  caught and even where another config is given.

  Args:
    entry: path of the entry point, next to the folder `configs`.
  """
  path = pathlib.Path(entry).resolve()
  if not any(re.fullmatch('--?config(=.*)?', arg) for arg in sys.argv[1:]):
    sys.argv.insert(1, f'--config={path.parents[1] / "configs" / path.name}')
  return config_flags.DEFINE_config_file('config', lock_config=True)
