"""The schema of a sweep, and what relates its fields."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from speccascade import config, methods
from speccascade.decoding import schedules
from speccascade.pairs import config as pairs_config
from speccascade.sampling import probabilities
from speccascade.tasks import base


def _check_point(point):
  if not isinstance(point, tuple):
    return config.number(point)
  return tuple(map(config.number, point))


_TopP = config.float32(gt=0, le=1)
_MOST_TIMED = 1_000_000  # Answers: lists of their turns would fill the memory.
_Point = Annotated[Any, pydantic.AfterValidator(_check_point)]


def check_methods(value: dict[str, tuple[float | tuple[float, ...], ...]]):
  """Returns the field `methods`, or raises ValueError that names its fault."""
  for name, points in value.items():
    try:
      _check_points(name, points)
    except ValueError as error:
      raise ValueError(f'methods.{name}: {error}') from None
    config.check_distinct(f'methods.{name}', points)
  return value


def _check_points(name, points):
  parameters = methods.get(name).parameters
  names = ', '.join(x.name for x in parameters)
  if bool(parameters) != bool(points):
    what = f'at least one value of {names}' if parameters else 'no values'
    raise ValueError(f'{name} takes {what}, got {points}')
  for point in points:
    if len(as_values(point)) != len(parameters):
      form = f'a number, {names}' if len(parameters) == 1 else f'({names})'
      raise ValueError(f'each point must be {form}, got {point}')
    for parameter, x in zip(parameters, as_values(point), strict=True):
      parameter.check(x, name)


def as_values(point: float | tuple[float, ...]) -> tuple[float, ...]:
  """A point of a config as one value a parameter."""
  return point if isinstance(point, tuple) else (point,)


Methods = Annotated[
  dict[str, tuple[_Point, ...]], pydantic.AfterValidator(check_methods)
]


class Sweep(pairs_config.Models):
  """A pair on a task: methods x parameters x plans x samplings.

  Attributes:
    task: a name of `tasks.TASKS`.
    task_args: arguments of the task.
    split: of the task's examples.
    num_examples: examples behind a quality.
    max_prompt_tokens: longest prompt; None is what the pair takes.
    methods: {name: points}; a point is a number for a method of one parameter,
      a tuple of numbers, in their order, for one of several; () without any.
    gammas: fixed draft lengths.
    schedules: {name: parameters}, other draft schedules; () without any.
    schedule_gamma: longest draft of those.
    temperatures: of both models.
    top_ps: likewise.
    top_k: likewise; 0 keeps all.
    seed: of all draws.
    batch_size: most rows decoded at a time for quality.
    latency_examples: prompts timed at batch 1, the first of the examples.
    trials: turns of each.
  """

  task: config.Task
  task_args: config.TaskArgs = {}
  split: str = 'test'
  num_examples: config.Examples
  max_prompt_tokens: config.Tokens | None = None
  methods: Methods
  gammas: tuple[config.Gamma, ...]
  schedules: dict[str, tuple[config.Float, ...]] = {}
  schedule_gamma: config.Gamma = 0
  temperatures: tuple[config.Temperature, ...] = (0.0,)
  top_ps: tuple[_TopP, ...] = (1.0,)
  top_k: config.Count = 0
  seed: config.Seed = 0
  batch_size: config.Rows = 48
  latency_examples: config.Examples
  trials: config.Trials

  @pydantic.field_validator('gammas', 'temperatures', 'top_ps')
  @classmethod
  def _check_some(cls, value, info):
    if not value:
      raise ValueError(f'{info.field_name}=() must have at least one value')
    config.check_distinct(info.field_name, value)
    return value

  @pydantic.field_validator('schedules')
  @classmethod
  def _check_schedules(cls, value):
    for name, parameters in value.items():
      try:
        _check_schedule(name, parameters)
      except ValueError as error:
        raise ValueError(f'schedules.{name}: {error}') from None
      config.check_distinct(f'schedules.{name}', parameters)
    return value

  @pydantic.model_validator(mode='after')
  def _check_relations(self):
    if self.schedules and not self.schedule_gamma:
      raise ValueError(
        'schedule_gamma=0 must be at least 1: it is the longest draft of '
        f'{", ".join(self.schedules)}'
      )
    if self.latency_examples > self.num_examples:
      raise ValueError(
        f'latency_examples={self.latency_examples} must not exceed '
        f'num_examples={self.num_examples}'
      )
    points = self._most_points()
    timed = self.latency_examples * self.trials * points
    if timed > _MOST_TIMED:
      raise ValueError(
        f'latency_examples={self.latency_examples} x trials={self.trials} x '
        f'up to {points} points are {timed} timed answers, more than '
        f'{_MOST_TIMED}; lower one of them'
      )
    return self

  @property
  def asked(self) -> str:
    """What its points ask for, see `probabilities.Sampling`."""
    return probabilities.asked(self.temperatures, self.top_ps, self.top_k)

  def _most_points(self):
    """How many points there are, if every method drafts."""
    settings = 3 + sum(len(values) or 1 for values in self.methods.values())
    plans = len(self.gammas)
    plans += sum(len(values) or 1 for values in self.schedules.values())
    return settings * plans * len(self.temperatures) * len(self.top_ps)


def _check_schedule(name, parameters):
  schedule = schedules.get(name)
  if schedule.more is None:
    raise ValueError('fixed draft lengths are gammas')
  if schedule.begin is not None:
    raise ValueError(
      f'{name} counts by the rows of a batch, which records do not know; cost '
      'serves the one row that a sweep times'
    )
  if bool(parameters) != schedule.swept:
    takes = 'at least one value' if schedule.swept else 'no values: ()'
    raise ValueError(f'{name} takes {takes}, got {parameters}')
  for parameter in parameters:
    schedule.check(parameter, 0, 1)


def parse(values: Mapping[str, Any]) -> dict[str, Sweep]:
  """Validates the config of a sweep, or of several `cells`.

  Returns:
    {name of the cell: Sweep}; the name is '' where the config has no cells.

  Raises:
    ValueError: one line that names the field.
  """
  values = config.plain(values)
  if not isinstance(values, dict) or 'cells' not in values:
    return {'': config.parse(Sweep, values)}
  given = config.parse(_Cells, values).cells
  cells = {}
  for name, cell in given.items():
    try:
      cells[name] = config.parse(Sweep, cell)
    except ValueError as error:
      raise ValueError(f'cells.{name}: {error}') from None
  return cells


class _Cells(config.Schema):
  """Sweeps by the names of their folders."""

  cells: dict[config.Name, Any]

  @pydantic.field_validator('cells')
  @classmethod
  def _check_cells(cls, value):
    if not value:
      raise ValueError('cells is empty; a config must have at least one')
    if len({name.lower() for name in value}) < len(value):
      raise ValueError(
        f'cells {", ".join(value)} must differ in more than case: each is a '
        'folder'
      )
    return value


def check_gammas(settings: config.Schema, task: base.Task) -> None:
  """Raises ValueError if a draft is longer than any answer.

  Args:
    settings: has some of the fields gamma, gammas and schedule_gamma.
    task: as loaded.
  """
  for field in ('gamma', 'gammas', 'schedule_gamma'):
    value = getattr(settings, field, ())
    longest = max(value if isinstance(value, tuple) else (value,), default=0)
    if longest > task.max_new_tokens:
      raise ValueError(
        f'{field}={longest} must not exceed {task.max_new_tokens}, the most '
        'tokens of an answer'
      )
