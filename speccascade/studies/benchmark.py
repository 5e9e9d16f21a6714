"""Times the decoding loop beside its parts, at several batch sizes."""

import sys

import numpy as np
import pydantic

from speccascade import config
from speccascade.decoding import schedules as schedules_lib
from speccascade.runs import environment, memory, profiling
from speccascade.studies import base
from speccascade.sweeps import batches
from speccascade.timing import loop

_GROUPS = 4  # Batches of prompts, each with loops of its own.
_BUSY = 2  # A spread beyond it is told.


class Benchmark(base.Study):
  """Schedules at batch sizes.

  Attributes:
    schedules: names of `schedules.SCHEDULES`.
    gamma: draft length of the schedule fixed.
    schedule_gamma: longest draft of the others.
    confidence: parameter of the schedule confidence.
    temperature: of both models.
    batch_sizes: rows of a batch.
    rounds: timings of each loop.
  """

  schedules: tuple[str, ...] = pydantic.Field(
    ('fixed', 'confidence', 'adaptive', 'cost'), min_length=1
  )
  gamma: config.Gamma = 5
  schedule_gamma: config.Gamma = 24
  confidence: config.Probability = 0.4
  temperature: config.Temperature = 1.0
  batch_sizes: tuple[config.Rows, ...] = pydantic.Field((1, 8), min_length=1)
  rounds: config.Trials = 5

  @pydantic.field_validator('schedules')
  @classmethod
  def _check_schedules(cls, value):
    for name in value:
      schedules_lib.get(name)
    if len(set(value)) < len(value):
      raise ValueError(f'schedules={value} must be distinct')
    return value

  @property
  def plans(self) -> list[schedules_lib.Plan]:
    """A plan of each schedule."""
    found = []
    for name in self.schedules:
      schedule = schedules_lib.get(name)
      gamma = self.gamma if schedule.more is None else self.schedule_gamma
      parameter = self.confidence if schedule.swept else None
      found.append(schedules_lib.Plan(gamma, name, parameter))
    return found


def run(study: Benchmark, profile: profiling.Profile | None = None) -> str:
  """Times every plan at every batch size.

  Args:
    study: Benchmark.
    profile: of each plan at each batch size.

  Returns:
    A table, and a line that says of what.

  Raises:
    ValueError: the pair, task or examples are not there or do not fit.
  """
  workload = study.workload(max(study.batch_sizes) * _GROUPS)
  memory.tell('with the models loaded')
  rows = []
  for size in study.batch_sizes:
    print(f'batch size {size} ...', file=sys.stderr, flush=True)
    rows += loop.measure(
      workload.pair,
      _prompts(workload, size),
      study.plans,
      workload.task.max_new_tokens,
      study.rounds,
      study.temperature,
      profile=profile,
    )
    memory.tell(f'after batch size {size}')
  told = environment.describe()
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  return (
    f'{loop.table(rows)}\n\n{told["device"]}, {study.numbers}, '
    f'pair {workload.pair.name}, {loop.METHOD}, '
    f'temperature {study.temperature:g}, times in ms, the least of '
    f'{study.rounds}; {versions}{_spread(rows)}'
  )


def _spread(rows):
  """A line where runs of one loop lie far apart."""
  spread = max(row.spread for row in rows)
  if spread <= _BUSY:
    return ''
  return (
    f'\n\nRuns of one loop lie up to {spread:.1f} times apart: the machine was '
    'busy, and times may be too high.'
  )


def _prompts(workload, size):
  """Batches of one shape, as wide as the longest of their prompts."""
  index_E = np.arange(_GROUPS * size)
  width = int(workload.length_E[index_E].max())
  return [
    batches.prompts(workload, index_P, width=width)
    for index_P in np.split(index_E, _GROUPS)
  ]
