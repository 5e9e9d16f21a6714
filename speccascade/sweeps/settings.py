"""The points of a sweep and everything that can be wrong with its config."""

import dataclasses

from speccascade import rules
from speccascade.decoding import checks

VERIFIER_ALONE = 'verifier_alone'
DRAFTER_ALONE = 'drafter_alone'
ALONE = (VERIFIER_ALONE, DRAFTER_ALONE)  # Plain autoregressive decoding.


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
    takes_alpha = rule.alpha_range is not None
    if takes_alpha != bool(alphas):
      what = 'at least one alpha' if takes_alpha else 'no alpha: ()'
      raise ValueError(f'rules.{name}={tuple(alphas)}: {name} takes {what}')
    rules.check_alpha(rule, alphas)
  for name in ('gammas', 'temperatures'):
    values = tuple(config[name])
    if not values or len(set(values)) < len(values):
      raise ValueError(f'{name}={values} must be distinct and at least one')
  for gamma in config.gammas:
    checks.check_gamma(gamma)
  for name in ('num_examples', 'latency_examples', 'trials', 'batch_size'):
    if config[name] < 1:
      raise ValueError(f'{name}={config[name]} must be at least 1')
  if config.latency_examples > config.num_examples:
    raise ValueError(
      f'latency_examples={config.latency_examples} exceeds '
      f'num_examples={config.num_examples}'
    )
