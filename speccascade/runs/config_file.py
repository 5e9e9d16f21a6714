"""The file of the flag --config, which is executed when flags are parsed."""

import inspect
import os
import runpy
from typing import Any

import ml_collections
from absl import flags

# Of these, the text alone tells what is wrong.
_PLAIN = OSError, SyntaxError, ValueError


class Parser(flags.ArgumentParser):
  """Parses the flag, 'FILE' or 'FILE:ARGUMENT', given once.

  Whatever ends the file becomes a ValueError in one line, to which absl adds
  the flag and its value. (`ml_collections` gives errors by their kind: some
  as a traceback, some at the first use, some without the file.)
  """

  def __init__(self, flag: flags.Flag):
    super().__init__()
    self._flag = flag

  def parse(self, argument: str) -> Any:
    """Returns what get_config of a file returned, locked.

    Raises:
      ValueError: there is no such file, it fails, or it is the second one.
    """
    if self._flag.present:  # Overrides may be bound to the first one.
      first = self._flag.config_filename
      raise ValueError(f'--config={first} is given too; give one')
    path, *given = argument.split(':', 1)
    if not os.path.isfile(path):
      raise ValueError('there is no such file')
    try:
      config = _call(runpy.run_path(path).get('get_config'), given)
    except (Exception, SystemExit) as error:
      raise ValueError(_line(error)) from error
    if isinstance(config, ml_collections.ConfigDict):
      config.lock()
    return config


def _call(get_config, given):
  if not callable(get_config):
    raise ValueError('the file has no function get_config')
  try:
    inspect.signature(get_config).bind(*given)
  except TypeError as error:
    raise ValueError(
      f'get_config: {error}; an argument is given as --config=FILE:ARGUMENT'
    ) from None
  config = get_config(*given)
  if not isinstance(config, ml_collections.ConfigDict | dict):
    raise ValueError(
      f'get_config returned {type(config).__name__}, not a ConfigDict'
    )
  return config


def _line(error):
  text, kind = ' '.join(str(error).split()), type(error).__name__
  if text and isinstance(error, _PLAIN):
    return text
  return f'{text} ({kind})' if text else kind
