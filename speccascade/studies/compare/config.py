"""The config of a comparison."""

import dataclasses

import pydantic

from speccascade import config, methods
from speccascade.decoding import schedules
from speccascade.studies import base
from speccascade.sweeps import batches, points
from speccascade.sweeps import config as sweeps_config


class Compare(base.Study):
  """Decoding here beside that of `transformers`.

  Attributes:
    methods: {name: points}, as of a sweep, of methods that draft; strict, whose
      text at temperature 0 is the verifier's, is added.
    gammas: draft lengths, of assisted generation too.
    temperature: of both models.
    batch_sizes: rows of a batch.
    num_examples: prompts, a multiple of every batch size.
    max_new_tokens: most tokens of an answer; None is what the task says.
    trials: timings of each.
  """

  methods: sweeps_config.Methods = {'token_v3': (0.3,)}
  gammas: tuple[config.Gamma, ...] = pydantic.Field((2, 4, 16), min_length=1)
  temperature: config.Temperature = 0.0
  batch_sizes: tuple[config.Rows, ...] = pydantic.Field(
    (1, 8, 32), min_length=1
  )
  num_examples: config.Examples = 32
  max_new_tokens: config.Tokens | None = None
  trials: config.Trials = 5

  @pydantic.field_validator('methods')
  @classmethod
  def _check_methods(cls, value):
    for name in value:
      if not methods.get(name).drafts:
        raise ValueError(f'methods.{name}: {name} does not draft; leave it out')
    return value

  @pydantic.model_validator(mode='after')
  def _check_relations(self):
    if self.drafter_weights or self.verifier_weights:
      raise ValueError(
        f'{self.numbers}: transformers runs the models as they are stored; '
        'leave out drafter_weights and verifier_weights'
      )
    if 0 in self.gammas:
      raise ValueError('gammas: assisted generation drafts at least 1 token')
    for size in self.batch_sizes:
      if self.num_examples % size:
        raise ValueError(
          f'num_examples={self.num_examples} must be a multiple of every batch '
          f'size, and is none of {size}'
        )
    return self

  @property
  def points(self) -> list[tuple[points.Setting, schedules.Plan | None]]:
    """What is decoded here: the verifier alone, strict and the methods."""
    alone, strict = methods.VERIFIER_ALONE.name, methods.STRICT.name
    own = {alone: (), strict: (), **self.methods}
    settings = [
      points.Setting(
        name, tuple(map(float, point)), self.temperature, 1.0, 0, self.seed
      )
      for name, given in own.items()
      for point in map(sweeps_config.as_values, given or ((),))
    ]
    return points.points(settings, list(map(schedules.Plan, self.gammas)))

  def workload(self) -> batches.Workload:
    """Loads models, task and prompts; raises ValueError as `batches.load`."""
    pair, task = self.load()
    if self.max_new_tokens is not None:
      task = dataclasses.replace(task, max_new_tokens=self.max_new_tokens)
    return batches.load(pair, task, self.split, self.num_examples)
