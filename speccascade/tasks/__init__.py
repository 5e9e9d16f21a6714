"""Tasks: prompts for a model, and scores of its outputs.

To add a task, write a module with a function `task` and list it in TASKS. The
arguments of `task` are the `task_args` of a config; it returns a `base.Task`.
"""

import importlib
import inspect
from collections.abc import Mapping

from speccascade.tasks import base

# A task's name, and its module in this package; a module is imported when its
# task is loaded.
TASKS = {
  'gsm8k': 'gsm8k',
  'summaries': 'synthetic.summaries.generated',
  'translation': 'synthetic.translation.generated',
  'wmt': 'wmt',
  'word_problems': 'synthetic.word_problems.generated',
  'xsum': 'xsum',
}


def check(name: str) -> str:
  """Returns the name of a task; raises ValueError if there is none."""
  if name not in TASKS:
    raise ValueError(f'unknown task {name!r}; known: {", ".join(TASKS)}')
  return name


def load(name: str, args: Mapping) -> base.Task:
  """Returns a task.

  Args:
    name: one of TASKS.
    args: arguments of its function `task`.

  Raises:
    ValueError: if there is no such task, or it takes no such argument.
  """
  check(name)
  make = importlib.import_module(f'{__name__}.{TASKS[name]}').task
  signature = inspect.signature(make)
  try:
    signature.bind(**args)
  except TypeError as error:
    parameters = ', '.join(map(str, signature.parameters.values()))
    raise ValueError(
      f'task_args {dict(args)}: {error}; {name} takes ({parameters})'
    ) from None
  return make(**args)
