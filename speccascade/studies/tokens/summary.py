"""Why a method is faster than strict decoding, or cannot be: rows of numbers.

At one draft length an iteration costs the same under every method. Let
c_m(gamma) be the verifier calls of method m, and k(gamma) the cost of one. At
the method's best gamma, strict takes c_s(gamma) k(gamma), and at its own best
no more. So over strict at its best draft length, a method is at most
max_gamma c_s / c_m times as fast, whatever an iteration costs; prefill only
lowers it.

Standard errors take examples as drawn at random and the tokens of one as they
are, see `tasks.bootstrap`.

Letters: E examples, T tokens of all answers, one answer after another,
G positions of a block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from speccascade import methods
from speccascade.studies.tokens import measure
from speccascade.tasks import bootstrap

DECILES = 10
NOTHING_REJECTED = 'nothing rejected'  # On strict's answers: no method's.


def rows(
  answers: Sequence[measure.Answers], gamma: int, gammas: Sequence[int]
) -> list[dict[str, Any]]:
  """Returns the rows of every table.

  Args:
    answers: of each setting, strict at every temperature among them, all of
      the same examples.
    gamma: draft length of the acceptance by position in the draft.
    gammas: draft lengths to count verifier calls for.

  Returns:
    List of dicts with 'table' ('overall', 'calls', 'class', 'draft' or
    'answer'), 'temperature', 'method', 'parameters', and what the table has.
    The table 'overall' has a row for each setting as a whole.

  Raises:
    ValueError: a temperature has no answers of strict.
  """
  strict = {
    a.setting.temperature: a
    for a in answers
    if a.setting.method == methods.STRICT.name
  }
  found = []
  for a in answers:
    s = a.setting
    if s.temperature not in strict:
      raise ValueError(
        f'temperature {s.temperature:g} has no answers of strict, which others '
        'are compared with; add the method strict'
      )
    reference = strict[s.temperature]
    tables = {
      'overall': [_overall(a, reference, max(gammas))],
      'calls': [_calls(a, reference, g) for g in gammas],
      'class': _by_class(a),
      'draft': _by_draft(a, gamma),
      'answer': _by_decile(a),
    }
    found += [
      _labelled(table, s.temperature, s.method, s.parameters, row)
      for table, of_table in tables.items()
      for row in of_table
    ]
  for temperature, reference in strict.items():
    found += [
      _labelled(
        'calls', temperature, NOTHING_REJECTED, {}, _unrejected(reference, g)
      )
      for g in gammas
    ]
  return found


def _labelled(table, temperature, method, parameters, row):
  """A row with its labels, as JSON has it: plain numbers, null for NaN."""
  plain = {k: x.item() if hasattr(x, 'item') else x for k, x in row.items()}
  return {
    'table': table,
    'temperature': temperature,
    'method': method,
    'parameters': parameters,
    **{k: None if x != x else x for k, x in plain.items()},
  }


def accepted_before(answers: measure.Answers) -> np.ndarray:
  """Counts the accepted drafts right before each token.

  They begin after a rejection or with the answer. A block ends with a rejection
  or with gamma + 1 accepted tokens, so the position of a token in its block,
  from 0, is this number modulo gamma + 1.

  Returns:
    int array of T.
  """
  index_T = np.arange(len(answers.kept_T))
  follows_T = np.concatenate([[False], ~answers.kept_T[:-1]])
  first_T = (answers.position_T == 0) | follows_T
  return index_T - np.maximum.accumulate(np.where(first_T, index_T, 0))


def calls(answers: measure.Answers, gamma: int) -> np.ndarray:
  """Returns the verifier calls of each example at a draft length, E."""
  first_T = accepted_before(answers) % (gamma + 1) == 0
  return _by_example(answers, first_T)


def independent_calls(
  acceptance: float, gamma: int, length_E: np.ndarray
) -> np.ndarray:
  """Returns the calls expected if all drafts had one acceptance probability.

  Leviathan et al. 2023 count (1 - a^(gamma + 1)) / (1 - a) tokens a call for
  answers without end; here an answer's last block is cut.

  Args:
    acceptance: the probability a.
    gamma: draft length.
    length_E: tokens of each answer.

  Returns:
    Array of E.
  """
  G = gamma + 1
  # Probabilities that a block has n tokens, for n = G, ..., 1.
  lasts_G = acceptance ** np.arange(G) * (1 - acceptance)
  lasts_G[-1] = acceptance ** (G - 1)
  lasts_G = lasts_G[::-1]
  begins = np.ones(length_E.max())  # Whether a block begins at a position.
  for n in range(1, len(begins)):
    back = min(n, G)
    begins[n] = begins[n - back : n] @ lasts_G[G - back :]
  return np.cumsum(begins)[length_E - 1]


def _by_example(answers, x_T):
  """Sum over the tokens of each example, E."""
  return np.bincount(
    answers.example_T, weights=x_T, minlength=len(answers.length_E)
  )


def _share(answers, of_T, among_T):
  """Share of `among_T` tokens that are `of_T`, and its standard error."""
  return bootstrap.ratio(
    _by_example(answers, of_T & among_T), _by_example(answers, among_T)
  )


def _overall(answers, strict, gamma):
  """The row of a setting as a whole; bounds up to a draft length, and any."""
  every_T = np.ones_like(answers.kept_T)
  rejected, error = _share(answers, ~answers.kept_T, every_T)
  divergence, divergence_error = bootstrap.ratio(
    _by_example(answers, answers.divergence_T), answers.length_E
  )
  longest = max(answers.length_E.max(), strict.length_E.max()) - 1
  return {
    'quality': answers.quality,
    'length': answers.length_E.mean(),
    'rejected': rejected,
    'rejected_stderr': error,
    'divergence': divergence,
    'divergence_stderr': divergence_error,
    'gap': answers.gap_T.mean(),
    'longest_gamma': gamma,
    **_bound(answers, strict, min(gamma, longest), 'bound'),
    **_bound(answers, strict, longest, 'bound_any'),
  }


def _bound(answers, strict, longest, name):
  """Largest gain over strict, its standard error, and its gamma."""
  ratios = [
    calls(strict, gamma).sum() / calls(answers, gamma).sum()
    for gamma in range(longest + 1)
  ]
  gamma = int(np.argmax(ratios))  # The shortest drafts of equal ones.
  value, error = bootstrap.ratio(calls(strict, gamma), calls(answers, gamma))
  return {name: value, f'{name}_stderr': error, f'{name}_gamma': gamma}


def _calls(answers, strict, gamma):
  """The row of a setting at a draft length."""
  evenly = lambda a, rate: independent_calls(rate, gamma, a.length_E).sum()  # noqa: E731
  expected = evenly(answers, answers.kept_T.mean())
  predicted, predicted_strict = (
    evenly(a, 1 - a.divergence_T.mean()) for a in (answers, strict)
  )
  return {
    **_efficiency(answers.length_E, calls(answers, gamma), strict, gamma),
    'independent': answers.length_E.sum() / expected,
    'over_strict_predicted': predicted_strict / predicted,
  }


def _unrejected(strict, gamma):
  """The row of strict's answers if no draft were rejected."""
  calls_E = -(-strict.length_E // (gamma + 1))
  row = _efficiency(strict.length_E, calls_E, strict, gamma)
  predicted_E = independent_calls(
    1 - strict.divergence_T.mean(), gamma, strict.length_E
  )
  return {
    **row,
    'independent': row['block_efficiency'],
    'over_strict_predicted': predicted_E.sum() / calls_E.sum(),
  }


def _efficiency(length_E, calls_E, strict, gamma):
  efficiency, error = bootstrap.ratio(length_E, calls_E)
  over_strict, over_error = bootstrap.ratio(calls(strict, gamma), calls_E)
  return {
    'gamma': gamma,
    'block_efficiency': efficiency,
    'block_efficiency_stderr': error,
    'over_strict': over_strict,
    'over_strict_stderr': over_error,
  }


def _by_class(answers):
  """A row for each class of tokens that occurs."""
  found = []
  rejections = (~answers.kept_T).sum()
  for name in measure.CLASSES:
    of_T = answers.class_T == name
    if not of_T.any():
      continue
    rejected, error = _share(answers, ~answers.kept_T, of_T)
    count = (of_T & ~answers.kept_T).sum()
    found.append(
      {
        'class': name,
        'tokens': of_T.sum(),
        'share': of_T.mean(),
        'gap': answers.gap_T[of_T].mean(),
        'divergence': answers.divergence_T[of_T].mean(),
        'rejected': rejected,
        'rejected_stderr': error,
        'share_of_rejections': count / rejections if rejections else None,
        'entropy': answers.entropy_T[of_T].mean(),
        'confidence': answers.confidence_T[of_T].mean(),
      }
    )
  return found


def _by_draft(answers, gamma):
  """A row for each position of a draft that was reached."""
  number_T = accepted_before(answers) % (gamma + 1)
  found = []
  for i in range(number_T.max() + 1):
    accepted, error = _share(answers, answers.kept_T, number_T == i)
    found.append(
      {
        'gamma': gamma,
        'position': i + 1,
        'reached': (number_T == i).sum(),
        'accepted': accepted,
        'accepted_stderr': error,
        'independent': answers.kept_T.mean(),
      }
    )
  return found


def _by_decile(answers):
  """A row for each tenth of an answer."""
  length_T = answers.length_E[answers.example_T]
  decile_T = DECILES * answers.position_T // length_T
  found = []
  for i in range(DECILES):
    of_T = decile_T == i
    if not of_T.any():
      continue
    rejected, error = _share(answers, ~answers.kept_T, of_T)
    found.append(
      {
        'decile': i + 1,
        'tokens': of_T.sum(),
        'divergence': answers.divergence_T[of_T].mean(),
        'rejected': rejected,
        'rejected_stderr': error,
      }
    )
  return found
