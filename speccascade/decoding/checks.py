"""Everything that can be wrong with a call, told before anything compiles."""

import numbers

import numpy as np

from speccascade.decoding.schedules import SCHEDULES


def check_prompts(prompts, models, max_new_tokens):
  """Raises ValueError for prompts that the models cannot continue.

  Args:
    prompts: Prompts.
    models: the models that will read them.
    max_new_tokens: most tokens to be generated.
  """
  if max_new_tokens < 1:
    raise ValueError(f'max_new_tokens={max_new_tokens} must be at least 1')
  P, S = np.shape(prompts.token_PxS)
  length_P = np.asarray(prompts.length_P)
  if not length_P.shape == np.shape(prompts.example_P) == (P,):
    raise ValueError(
      f'{P} prompts need length_P and example_P of shape ({P},); got '
      f'{length_P.shape} and {np.shape(prompts.example_P)}'
    )
  for row in np.flatnonzero((length_P < 1) | (length_P > S)):
    raise ValueError(
      f'prompt {row} has length {length_P[row]}; it must be in 1..{S}, the '
      'width of token_PxS'
    )
  limit = min(m.longest_prompt(max_new_tokens) for m in models)
  longest = int(length_P.argmax())
  if length_P[longest] > limit:
    raise ValueError(
      f'prompt {longest} is too long: {length_P[longest]} tokens; with '
      f'max_new_tokens={max_new_tokens} the models take {max(limit, 0)}; '
      'shorten either'
    )
  vocab = min(m.vocab_size for m in models)
  token = np.asarray(prompts.token_PxS)
  if token.size and not 0 <= token.min() <= token.max() < vocab:
    raise ValueError(
      f'prompt tokens {token.min()}..{token.max()} are outside the '
      f'vocabulary of {vocab}; check the tokenizer'
    )


def check_pair(drafter, verifier):
  """Raises ValueError unless both models share a vocabulary size."""
  if drafter.vocab_size != verifier.vocab_size:
    raise ValueError(
      f'vocabularies differ: drafter {drafter.vocab_size}, verifier '
      f'{verifier.vocab_size}; a cascade needs one tokenizer for both'
    )


def check_sampling(sampling, rows):
  """Raises ValueError for a temperature, top-p or top-k out of range."""
  temperature = _per_row('temperature', sampling.temperature_B, rows)
  top_p = _per_row('top_p', sampling.top_p_B, rows)
  for value in temperature[~(np.isfinite(temperature) & (temperature >= 0))]:
    raise ValueError(f'temperature={value:g} must be 0 or more, and finite')
  if not ((top_p > 0) & (top_p <= 1)).all():
    raise ValueError(f'top_p={top_p.min():g}..{top_p.max():g} not in (0, 1]')
  if sampling.top_k < 0:
    raise ValueError(f'top_k={sampling.top_k} must be 0 (all) or more')


def check_gamma(gamma):
  """Raises ValueError for a negative draft length, or no whole one."""
  if not isinstance(gamma, numbers.Integral) or gamma < 0:
    raise ValueError(
      f'gamma={gamma} must be 0 or more, and whole; gamma + 1 tokens are '
      'drafted'
    )


def check_schedule(schedule, parameter, gamma, rows=1):
  """Raises ValueError unless the parameter is one that the schedule takes."""
  parameter = np.asarray(parameter)
  name = next((k for k, s in SCHEDULES.items() if s is schedule), None)
  if name in ('fixed', 'adaptive') and np.size(parameter):
    raise ValueError(f'the schedule {name} takes no parameter: ()')
  if name == 'confidence' and not (
    np.shape(parameter) in ((), (rows,))
    and np.all((0 <= parameter) & (parameter <= 1))
  ):
    raise ValueError(
      f'the schedule confidence takes a probability, not {parameter}; one, or '
      f'one for each of {rows} rows'
    )
  if name == 'cost' and (
    np.shape(parameter) != (gamma + 1,) or not np.all(parameter > 0)
  ):
    raise ValueError(
      f'the schedule cost takes what 1 to {gamma + 1} tokens cost, positive, '
      f'not {parameter}'
    )


def _per_row(name, value, rows):
  value = np.asarray(value)
  if value.shape != (rows,):
    raise ValueError(f'{name} needs shape ({rows},), one a row: {value.shape}')
  return value


def check_alpha_shape(alpha_B, rows):
  """Raises ValueError unless there is one alpha a row."""
  return _per_row('alpha', alpha_B, rows)


def check_confidence(alpha_B, rows):
  """Raises ValueError unless there is one alpha in [0, 1] a row."""
  alpha_B = _per_row('alpha', alpha_B, rows)
  for alpha in alpha_B[~((alpha_B >= 0) & (alpha_B <= 1))]:
    raise ValueError(
      f'alpha={alpha:g} must be in [0, 1], the confidence that may lack'
    )
  return alpha_B


def rule_index(rule, rules):
  """Index of `rule` in `rules`, or ValueError."""
  if rule not in rules:
    names = ', '.join(r.__name__ for r in rules)
    raise ValueError(
      f'unknown rule {getattr(rule, "__name__", rule)!r}; this cascade was '
      f'made for: {names}'
    )
  return rules.index(rule)
