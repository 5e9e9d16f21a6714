"""Tasks: a module each, with `task(**args)` that makes it."""

import importlib
import inspect

TASKS = ('gsm8k', 'summaries', 'translation', 'wmt', 'word_problems', 'xsum')


def load(name, args):
  """The task of a config.

  Args:
    name: one of TASKS.
    args: arguments of its function `task`.

  Raises:
    ValueError: there is no such task, or it takes no such argument.
  """
  if name not in TASKS:
    raise ValueError(f'unknown task {name!r}; known: {", ".join(TASKS)}')
  make = importlib.import_module(f'{__name__}.{name}').task
  try:
    inspect.signature(make).bind(**args)
  except TypeError as error:
    raise ValueError(
      f'task_args {dict(args)}: {error}; {name} takes {inspect.signature(make)}'
    ) from None
  return make(**args)
