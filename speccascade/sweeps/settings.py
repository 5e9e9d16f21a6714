"""The points of a sweep and everything that can be wrong with its config."""

import dataclasses
import itertools
import types

import numpy as np

from speccascade import distributions, rules
from speccascade.decoding import checks, schedules

VERIFIER_ALONE = 'verifier_alone'
DRAFTER_ALONE = 'drafter_alone'
ALONE = (VERIFIER_ALONE, DRAFTER_ALONE)  # Plain autoregressive decoding.
DTYPES = ('float32', 'bfloat16')  # Of both models; draws are float32.


# Cascades that are no rule: sequential, so that nothing is drafted ahead.
# SeqCascade by the quantile of its log probabilities, None for their mean.
SEQUENCES = {
  'sequence_mean': None,
  'sequence_min': 0.0,
  'sequence_q10': 0.1,
  'sequence_median': 0.5,
}
TOKEN_CASCADE = 'token_cascade'
BILD_ROLLBACK = 'bild_rollback'  # The rule bild, executed as Kim et al. do.


@dataclasses.dataclass(frozen=True)
class Plan:
  """How drafts are sized.

  Attributes:
    gamma: draft length, the longest where the schedule is not 'fixed'.
    schedule: a name of `schedules.SCHEDULES`.
    parameter: of the schedule; None where it takes none, or is measured.
  """

  gamma: int
  schedule: str = 'fixed'
  parameter: float | None = None

  def id(self):
    """Short name."""
    name = f'g{self.gamma}'
    if self.schedule != 'fixed':
      name += f'-{self.schedule}'
    if self.parameter is not None:
      name += f'{self.parameter:g}'
    return name


@dataclasses.dataclass(frozen=True)
class Setting:
  """What generated text depends on; with a plan, a point.

  Attributes:
    rule: a name of `rules.RULES`, one of `ALONE`, or a baseline.
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

  def id(self, plan=None):
    """Name of the setting, or of the point under a plan."""
    parts = [self.rule]
    if self.alpha is not None:
      parts.append(f'a{self.alpha:g}')
    if plan is not None:
      parts.append(plan.id())
    parts.append(f't{self.temperature:g}-p{self.top_p:g}-k{self.top_k}')
    parts.append(f's{self.seed}')
    return '-'.join(parts)

  @property
  def sampling(self):
    """(temperature, top-p): settings that share it are timed together."""
    return self.temperature, self.top_p

  @property
  def drafts(self):
    """Whether a plan applies."""
    return self.rule in rules.RULES or self.rule == BILD_ROLLBACK


# What a config must have; see configs/quickstart.py.
_FIELDS = (
  'pair',
  'task',
  'task_args',
  'split',
  'num_examples',
  'max_prompt_tokens',
  'dtype',
  'rules',
  'gammas',
  'temperatures',
  'top_ps',
  'top_k',
  'seed',
  'batch_size',
  'latency_examples',
  'trials',
)

# Names that a config's `rules` may have beside `rules.RULES`.
BASELINES = (*SEQUENCES, TOKEN_CASCADE, BILD_ROLLBACK)


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
  for name in (*rules.RULES, *BASELINES):  # Not in the order of the config.
    if name in config.rules:
      alphas[name] = tuple(config.rules[name]) or (None,)
  return {
    rule: [
      Setting(
        rule=rule,
        alpha=None if alpha is None else float(alpha),
        temperature=float(temperature),
        top_p=float(top_p),
        top_k=config.top_k,
        seed=config.seed,
      )
      for temperature in config.temperatures
      for top_p in config.top_ps
      for alpha in alphas[rule]
    ]
    for rule in alphas
  }


def plans(config):
  """The plans of a sweep: every gamma, then every schedule of the config."""
  found = [Plan(gamma) for gamma in config.gammas]
  for name, parameters in config.get('schedules', {}).items():
    for parameter in tuple(parameters) or (None,):
      found.append(Plan(config.schedule_gamma, name, parameter))
  return found


def _check_schedules(config):
  for name, parameters in config.get('schedules', {}).items():
    if name not in schedules.SCHEDULES or name == 'fixed':
      known = ', '.join(n for n in schedules.SCHEDULES if n != 'fixed')
      raise ValueError(
        f'unknown schedule {name!r}; known: {known}; fixed ones are gammas'
      )
    if bool(parameters) != (name == 'confidence'):
      raise ValueError(
        f'schedules.{name}={tuple(parameters)}: confidence takes thresholds, '
        'the others none: ()'
      )
    for parameter in parameters:
      checks.check_schedule(schedules.SCHEDULES[name], parameter, 0)
    _check_distinct(f'schedules.{name}', parameters)
    checks.check_gamma(config.schedule_gamma)


def _alphas_of(name):
  """What `rules.check_alpha` is to go by: a rule, or the like of one."""
  if name == BILD_ROLLBACK:
    return rules.RULES['bild']
  if name in BASELINES:  # A confidence in [0, 1] may lack so much.
    return types.SimpleNamespace(
      __name__=name, alpha_range=(0, 1, False, False)
    )
  return rules.get(name)


def _check(config):
  if missing := [name for name in _FIELDS if name not in config]:
    raise ValueError(
      f'the config has no {", ".join(missing)}: it is none of a sweep'
    )
  _check_schedules(config)
  for name, alphas in config.rules.items():
    rule = _alphas_of(name)
    if not isinstance(alphas, tuple | list):
      raise ValueError(f'rules.{name}={alphas} must be a tuple: ({alphas},)')
    takes_alpha = rule.alpha_range is not None
    if takes_alpha != bool(alphas):
      what = 'at least one alpha' if takes_alpha else 'no alpha: ()'
      raise ValueError(f'rules.{name}={tuple(alphas)}: {name} takes {what}')
    rules.check_alpha(rule, alphas)
    _check_distinct(f'rules.{name}', alphas)
  for name in ('gammas', 'temperatures', 'top_ps'):
    values = tuple(config[name])
    if not values:
      raise ValueError(f'{name}=() must have at least one value')
    _check_distinct(name, values)
  for gamma in config.gammas:
    checks.check_gamma(gamma)
  one = lambda x: np.full(1, float(x))  # noqa: E731
  for temperature, top_p in itertools.product(
    config.temperatures, config.top_ps
  ):
    checks.check_sampling(
      distributions.Sampling(one(temperature), one(top_p), top_k=config.top_k),
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
  if len({f'{value:g}' for value in values}) < len(values):  # As in ids.
    raise ValueError(
      f'{name}={tuple(values)} must be distinct, in their first six digits'
    )
