"""The points of a sweep and everything that can be wrong with its config."""

import dataclasses

import numpy as np

from speccascade import distributions, rules
from speccascade.decoding import checks

VERIFIER_ALONE = 'verifier_alone'
DRAFTER_ALONE = 'drafter_alone'
ALONE = (VERIFIER_ALONE, DRAFTER_ALONE)  # Plain autoregressive decoding.
DTYPES = ('float32', 'bfloat16')  # Of both models; draws are float32.


@dataclasses.dataclass(frozen=True)
class Setting:
  """What generated text depends on; with a draft length, a point.

  Attributes:
    rule: a name of `rules.RULES`, or one of `ALONE`.
    alpha: deferral threshold; None where the rule takes none.
    temperature: of both models.
    top_p: likewise.
    top_k: likewise.
    seed: of the draws.
  """

  rule: str
  alpha: float | None
  temperature: float
  top_p: float
  top_k: int
  seed: int

  def id(self, gamma=None):
    """Name of the setting, or of the point at draft length `gamma`."""
    parts = [self.rule]
    if self.alpha is not None:
      parts.append(f'a{self.alpha:g}')
    if gamma is not None:
      parts.append(f'g{gamma}')
    parts.append(f't{self.temperature:g}-p{self.top_p:g}-k{self.top_k}')
    parts.append(f's{self.seed}')
    return '-'.join(parts)


def like(setting, rule):
  """The setting of another rule, one without alpha, sampled alike."""
  return dataclasses.replace(setting, rule=rule, alpha=None)


def by_rule(config):
  """The settings of a sweep: {rule: [Setting, ...]}, models alone first.

  Args:
    config: ConfigDict; see configs/quickstart.py.

  Raises:
    ValueError: a rule, alpha, gamma or sampling value is out of range.
  """
  _check(config)
  alphas = {name: (None,) for name in (*ALONE, 'strict')}
  for name in rules.RULES:  # In the order of the paper, not of the config.
    if name in config.rules:
      alphas[name] = tuple(config.rules[name]) or (None,)
  return {
    rule: [
      Setting(
        rule=rule,
        alpha=None if alpha is None else float(alpha),
        temperature=float(temperature),
        top_p=float(config.top_p),
        top_k=config.top_k,
        seed=config.seed,
      )
      for temperature in config.temperatures
      for alpha in alphas[rule]
    ]
    for rule in alphas
  }


def _check(config):
  for name, alphas in config.rules.items():
    rule = rules.get(name)
    if not isinstance(alphas, tuple | list):
      raise ValueError(f'rules.{name}={alphas} must be a tuple: ({alphas},)')
    takes_alpha = rule.alpha_range is not None
    if takes_alpha != bool(alphas):
      what = 'at least one alpha' if takes_alpha else 'no alpha: ()'
      raise ValueError(f'rules.{name}={tuple(alphas)}: {name} takes {what}')
    rules.check_alpha(rule, alphas)
    _check_distinct(f'rules.{name}', alphas)
  for name in ('gammas', 'temperatures'):
    values = tuple(config[name])
    if not values:
      raise ValueError(f'{name}=() must have at least one value')
    _check_distinct(name, values)
  for gamma in config.gammas:
    checks.check_gamma(gamma)
  one = lambda x: np.full(1, float(x))  # noqa: E731
  for temperature in config.temperatures:
    checks.check_sampling(
      distributions.Sampling(
        one(temperature), one(config.top_p), top_k=config.top_k
      ),
      rows=1,
    )
  for name in ('num_examples', 'latency_examples', 'trials', 'batch_size'):
    if config[name] < 1:
      raise ValueError(f'{name}={config[name]} must be at least 1')
  if config.latency_examples > config.num_examples:
    raise ValueError(
      f'latency_examples={config.latency_examples} exceeds '
      f'num_examples={config.num_examples}'
    )
  if config.dtype not in DTYPES:
    raise ValueError(f'dtype={config.dtype!r} must be one of {DTYPES}')


def _check_distinct(name, values):
  if len(set(values)) < len(values):
    raise ValueError(f'{name}={tuple(values)} must be distinct')
