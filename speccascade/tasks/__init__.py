"""Tasks: prompts for a model, and scores of its outputs.

To add a task, write a module with a function `task` and list it in TASKS. The
arguments of `task` are the `task_args` of a config; it returns a `base.Task`.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping

import pydantic

from speccascade.tasks import base

# A task's name, and its module in this package; a module is imported when its
# task is loaded.
TASKS = {
  'aime': 'aime',
  'cnn_dailymail': 'cnn_dailymail',
  'gpqa': 'gpqa',
  'gsm8k': 'gsm8k',
  'mbpp': 'mbpp',
  'nq_open': 'nq_open',
  'spec_bench': 'spec_bench',
  'speed_bench': 'speed_bench',
  'squad_v2': 'squad_v2',
  'summaries': 'synthetic.summaries.generated',
  'translation': 'synthetic.translation.generated',
  'trivia_qa': 'trivia_qa',
  'web_questions': 'web_questions',
  'wmt': 'wmt',
  'word_problems': 'synthetic.word_problems.generated',
  'xsum': 'xsum',
}


def check(name: str) -> str:
  """Returns the name of a task; raises ValueError if there is none."""
  if name not in TASKS:
    raise ValueError(f'unknown task {name!r}; known: {", ".join(TASKS)}')
  return name


def load_function(name: str) -> Callable[..., base.Task]:
  """Returns the function `task` of a task; ValueError if there is none."""
  return importlib.import_module(f'{__name__}.{TASKS[check(name)]}').task


def load(name: str, args: Mapping) -> base.Task:
  """Returns a task.

  Args:
    name: one of TASKS.
    args: arguments of its function `task`.

  Raises:
    ValueError: if there is no such task, or it takes no such argument or not
      this value.
  """
  make = load_function(name)
  signature = inspect.signature(make)
  try:
    signature.bind(**args)
  except TypeError as error:
    parameters = ', '.join(map(str, signature.parameters.values()))
    raise ValueError(
      f'task_args {dict(args)}: {error}; {name} takes ({parameters})'
    ) from None
  for argument, value in args.items():
    kind = signature.parameters[argument].annotation
    try:
      pydantic.TypeAdapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
      reason = error.errors()[0]['msg']
      raise ValueError(
        f'task_args.{argument}={value!r:.80}: {reason}'
      ) from None
  return make(**args)
