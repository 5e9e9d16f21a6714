"""The config of a study of tokens."""

import pydantic

from speccascade import config, methods
from speccascade.studies import base
from speccascade.sweeps import batches, points
from speccascade.sweeps import config as sweeps_config


class Tokens(base.Study):
  """Methods on the same examples, strict among them.

  Attributes:
    methods: {name: points}, as of a sweep; strict is added. Of each, the plan
      changes no text and D_TV(pi, q) is the probability of a rejection.
    num_examples: of the split.
    temperatures: of both models.
    gamma: draft length of the acceptance by position.
    gammas: draft lengths to count verifier calls for.
    batch_size: rows decoded at a time, settings times prompts; at least one
      prompt is.
  """

  methods: sweeps_config.Methods = {'token_v3': (0.5,)}
  num_examples: config.Examples = 100
  temperatures: tuple[config.Temperature, ...] = pydantic.Field(
    (1.0,), min_length=1
  )
  gamma: config.Gamma = 8
  gammas: tuple[config.Gamma, ...] = pydantic.Field(
    (1, 3, 5, 8, 16, 24), min_length=1
  )
  batch_size: config.Rows = 32

  @pydantic.field_validator('methods')
  @classmethod
  def _check_methods(cls, value):
    for name in value:
      method = methods.get(name)
      if not method.divergence_rejects or method.plan_changes_text:
        raise ValueError(
          f'methods.{name}: D_TV(pi, q) does not tell the rejections of {name} '
          'under every draft plan; leave it out'
        )
      if not method.drafts:
        raise ValueError(f'methods.{name}: {name} does not draft; leave it out')
    return value

  @property
  def settings(self) -> list[points.Setting]:
    """Strict, then the other methods, each at every temperature."""
    own = {methods.STRICT.name: (), **self.methods}
    return [
      points.Setting(
        name, tuple(map(float, point)), temperature, 1.0, 0, self.seed
      )
      for name, given in own.items()
      for point in map(sweeps_config.as_values, given or ((),))
      for temperature in dict.fromkeys(map(float, self.temperatures))
    ]

  def title(self, workload: batches.Workload) -> str:
    """Returns what was studied, in one line."""
    return (
      f'{workload.task.name}, pair {workload.pair.name}: {self.num_examples} '
      f'{self.split} examples, {workload.task.metric}, {self.numbers}, '
      f'seed {self.seed}'
    )
