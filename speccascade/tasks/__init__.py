"""Tasks: a module each, with `task(**args)` that makes it."""

import importlib.util
import inspect


def load(name, args):
  """The task of a config.

  Args:
    name: a module of this package.
    args: arguments of its function `task`.

  Raises:
    ValueError: there is no such task, or it takes no such argument.
  """
  if importlib.util.find_spec(f'{__name__}.{name}') is None:
    raise ValueError(f'unknown task {name!r}: no module {__name__}.{name}')
  make = importlib.import_module(f'{__name__}.{name}').task
  try:
    inspect.signature(make).bind(**args)
  except TypeError as error:
    raise ValueError(
      f'task_args {dict(args)}: {error}; {name} takes {inspect.signature(make)}'
    ) from None
  return make(**args)
