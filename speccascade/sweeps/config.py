"""The schema of a sweep, and what relates its fields."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from speccascade import config, methods
from speccascade.decoding import schedules

_TopP = Annotated[float, pydantic.Field(gt=0, le=1)]
_Point = float | tuple[float, ...]


def check_methods(value: dict[str, tuple[_Point, ...]]):
  """Returns the field `methods`, or raises ValueError that names its fault."""
  for name, points in value.items():
    parameters = methods.get(name).parameters
    names = ', '.join(x.name for x in parameters)
    if bool(parameters) != bool(points):
      what = f'at least one value of {names}' if parameters else 'no values'
      raise ValueError(f'methods.{name}={points}: {name} takes {what}')
    for point in points:
      if len(as_values(point)) != len(parameters):
        form = f'a number, {names}' if len(parameters) == 1 else f'({names})'
        raise ValueError(
          f'methods.{name}: each point must be {form}, got {point}'
        )
      for parameter, x in zip(parameters, as_values(point), strict=True):
        parameter.check(x, name)
    _check_distinct(f'methods.{name}', points)
  return value


def as_values(point: _Point) -> tuple[float, ...]:
  """A point of a config as one value a parameter."""
  return point if isinstance(point, tuple) else (point,)


def _check_distinct(name, points):
  shown = [tuple(f'{x:g}' for x in as_values(point)) for point in points]
  if len(set(shown)) < len(points):  # As in ids.
    raise ValueError(
      f'{name}={points} must be distinct, in their first six digits'
    )


Methods = Annotated[
  dict[str, tuple[_Point, ...]], pydantic.AfterValidator(check_methods)
]


class Sweep(config.Schema):
  """A pair on a task: methods x parameters x plans x samplings.

  Attributes:
    pair: shipped, or a folder.
    task: a name of `tasks.TASKS`.
    task_args: arguments of the task.
    split: of the task's examples.
    num_examples: examples behind a quality.
    max_prompt_tokens: longest prompt; None is what the pair takes.
    dtype: compute type of both models.
    methods: {name: points}; a point is a number for a method of one parameter,
      a tuple of numbers, in their order, for one of several; () without any.
    gammas: fixed draft lengths.
    schedules: {name: parameters}, other draft schedules; () without any.
    schedule_gamma: longest draft of those.
    temperatures: of both models.
    top_ps: likewise.
    top_k: likewise; 0 keeps all.
    seed: of all draws.
    batch_size: rows decoded at a time for quality, settings times prompts.
    latency_examples: prompts timed at batch 1, the first of the examples.
    trials: turns of each.
  """

  pair: str
  task: config.Task
  task_args: dict[str, str | int | float | bool] = {}
  split: str = 'test'
  num_examples: config.Positive
  max_prompt_tokens: int | None = pydantic.Field(None, ge=1)
  dtype: config.Dtype = 'float32'
  methods: Methods
  gammas: tuple[config.NonNegative, ...]
  schedules: dict[str, tuple[float, ...]] = {}
  schedule_gamma: config.NonNegative = 0
  temperatures: tuple[config.Temperature, ...] = (0.0,)
  top_ps: tuple[_TopP, ...] = (1.0,)
  top_k: config.NonNegative = 0
  seed: config.Seed = 0
  batch_size: config.Positive = 48
  latency_examples: config.Positive
  trials: config.Positive

  @pydantic.field_validator('gammas', 'temperatures', 'top_ps')
  @classmethod
  def _check_some(cls, value, info):
    if not value:
      raise ValueError(f'{info.field_name}=() must have at least one value')
    _check_distinct(info.field_name, value)
    return value

  @pydantic.field_validator('schedules')
  @classmethod
  def _check_schedules(cls, value):
    for name, parameters in value.items():
      schedule = schedules.get(name)
      if schedule.more is None:
        raise ValueError(f'schedules.{name}: fixed draft lengths are gammas')
      if bool(parameters) != schedule.swept:
        takes = 'at least one value' if schedule.swept else 'no values: ()'
        raise ValueError(f'schedules.{name}={parameters}: {name} takes {takes}')
      for parameter in parameters:
        schedule.check(parameter, 0, 1)
      _check_distinct(f'schedules.{name}', parameters)
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
    return self


def parse(values: Mapping[str, Any]) -> dict[str, Sweep]:
  """Validates the config of a sweep, or of several `cells`.

  Returns:
    {name of the cell: Sweep}; the name is '' where the config has no cells.

  Raises:
    ValueError: one line that names the field.
  """
  if 'cells' not in values:
    return {'': config.parse(Sweep, values)}
  if others := [name for name in values if name != 'cells']:
    raise ValueError(f'a config of cells has no other field: {others[0]}')
  cells = {}
  for name, cell in values['cells'].items():
    try:
      cells[name] = config.parse(Sweep, cell)
    except ValueError as error:
      raise ValueError(f'cells.{name}: {error}') from None
  if not cells:
    raise ValueError('cells is empty; a config must have at least one')
  return cells
