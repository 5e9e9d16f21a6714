"""Everything that can be wrong with a call, told before anything compiles.

And `finite`, what can be wrong with its result.
"""

import numbers

import jax
import numpy as np

from speccascade import hosts
from speccascade.decoding import results
from speccascade.sampling import probabilities


def check_prompts(prompts, models, max_new_tokens):
  """Raises ValueError for prompts that the models cannot continue.

  Args:
    prompts: Prompts.
    models: the models that will read them.
    max_new_tokens: most tokens to be generated.
  """
  if max_new_tokens < 1:
    raise ValueError(f'max_new_tokens must be at least 1, got {max_new_tokens}')
  P, S = np.shape(prompts.token_PxS)
  length_P = np.asarray(prompts.length_P)
  if not length_P.shape == np.shape(prompts.example_P) == (P,):
    raise ValueError(
      f'{P} prompts need length_P and example_P of shape ({P},), got '
      f'{length_P.shape} and {np.shape(prompts.example_P)}'
    )
  if not P:
    raise ValueError('there is no prompt; give at least one')
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
    raise ValueError(
      f'temperature must be a finite number of at least 0, got {value:g}'
    )
  for value in top_p[~((top_p > 0) & (top_p <= 1))]:
    raise ValueError(f'top_p must be in (0, 1], got {value:g}')
  if sampling.top_k < 0:
    raise ValueError(f'top_k must be 0 (all) or more, got {sampling.top_k}')
  found = probabilities.asked(temperature, top_p, sampling.top_k)
  if sampling.asked not in probabilities.HOLDS[found]:
    raise ValueError(
      f'sampling is not {sampling.asked}: rows ask for {found}, by their '
      'temperature, top_p or top_k'
    )


def check_gamma(gamma):
  """Raises ValueError unless gamma is a non-negative integer."""
  if not isinstance(gamma, numbers.Integral) or gamma < 0:
    raise ValueError(f'gamma must be a non-negative integer, got {gamma}')


def check_values(method, values, rows):
  """Raises ValueError unless a method takes the values of its rows.

  Args:
    method: has `name` and `parameters`.
    values: an array [R] for each parameter.
    rows: R.
  """
  names = ', '.join(x.name for x in method.parameters) or 'none'
  if len(values) != len(method.parameters):
    raise ValueError(
      f'{method.name} takes {len(method.parameters)} parameters ({names}), got '
      f'{len(values)}'
    )
  for parameter, value in zip(method.parameters, values, strict=True):
    for x in np.unique(_per_row(parameter.name, value, rows)):
      parameter.check(float(x), method.name)


def check_groups(groups, values, rows):
  """Raises ValueError unless the groups of a batch have its rows and values."""
  total = sum(group.rows for group in groups)
  if total != rows or len(groups) != len(values):
    raise ValueError(
      f'{len(groups)} groups of {total} rows, values for {len(values)}: the '
      f'request has {rows} rows'
    )
  for group, own in zip(groups, values, strict=True):
    check_values(group.method, own, group.rows)


def finite(result, prompts):
  """Returns the result, or raises ValueError if a model was at fault.

  Args:
    result: Result.
    prompts: Prompts that it continues.

  Returns:
    It, so that each process of several can fetch all of it.
  """
  result = hosts.replicated(result)
  for model, fault_B in jax.device_get(result.fault_B).items():
    for row in np.flatnonzero(fault_B != results.NONE):
      example = np.asarray(prompts.example_P)[row % len(prompts.example_P)]
      raise ValueError(
        f'the {model} gave NaN or an infinite logit for token {fault_B[row]} '
        f'of the answer to example {example}; check its weights, or compute '
        'in float32'
      )
  return result


def _per_row(name, value, rows):
  value = np.asarray(value)
  if value.shape != (rows,):
    raise ValueError(
      f'{name} needs shape ({rows},), one a row, got {value.shape}'
    )
  return value
