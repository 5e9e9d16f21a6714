"""Why a rule is faster than strict decoding, or cannot be: rows of numbers.

At one draft length an iteration costs the same under every rule. Let c_r(gamma)
be the verifier calls of rule r, k(gamma) the cost of one. At the rule's best
gamma, strict takes c_s(gamma) k(gamma) or, at its own best, less. So beside
strict at its best draft length a rule is at most max_gamma c_s / c_r times as
fast, whatever an iteration costs; prefill only lowers it.

Standard errors take examples as drawn at random and the tokens of one as they
are: of a ratio of sums by the delta method (Cochran 1977, section 6.3).

Letters: E examples, T tokens of all answers, one answer after another.
"""

import numpy as np

from speccascade import analysis

DECILES = 10
NOTHING_REJECTED = 'nothing rejected'  # On strict's answers: no rule's.


def rows(answers, gamma, gammas):
  """Every table of an analysis.

  Args:
    answers: Answers of each setting, 'strict' at every temperature among them,
      all of the same examples.
    gamma: draft length for acceptance by position in the draft.
    gammas: draft lengths to count verifier calls for.

  Returns:
    List of dicts with 'table' ('rule', 'calls', 'class', 'draft' or 'answer'),
    'temperature', 'rule', 'alpha', and what the table has.

  Raises:
    ValueError: a temperature has no answers of strict.
  """
  strict = {
    a.setting.temperature: a for a in answers if a.setting.rule == 'strict'
  }
  found = []
  for a in answers:
    s = a.setting
    if s.temperature not in strict:
      raise ValueError(
        f'temperature {s.temperature:g} has no answers of strict, which the '
        'others are compared with: add the rule strict'
      )
    reference = strict[s.temperature]
    tables = {
      'rule': [_overall(a, reference, max(gammas))],
      'calls': [_calls(a, reference, g) for g in gammas],
      'class': _by_class(a),
      'draft': _by_draft(a, gamma),
      'answer': _by_decile(a),
    }
    found += [
      _labelled(table, s, s.rule, row)
      for table, of_table in tables.items()
      for row in of_table
    ]
  for reference in strict.values():
    found += [
      _labelled(
        'calls', reference.setting, NOTHING_REJECTED, _unrejected(reference, g)
      )
      for g in gammas
    ]
  return found


def _labelled(table, setting, rule, row):
  """A row with what names it, as JSON has it: plain numbers, null for NaN."""
  plain = {k: x.item() if hasattr(x, 'item') else x for k, x in row.items()}
  named = {'table': table, 'temperature': setting.temperature, 'rule': rule}
  named |= {'alpha': setting.alpha}
  return named | {k: None if x != x else x for k, x in plain.items()}


def ratio(a_E, b_E):
  """Sum a / sum b and its standard error; NaN where it has none.

  Args:
    a_E: a number of each example.
    b_E: another, with a positive sum.
  """
  E, total = len(a_E), b_E.sum()
  value = a_E.sum() / total
  if E < 2:
    return value, np.nan
  square = ((a_E - value * b_E) ** 2).sum() * E / (E - 1)
  return value, np.sqrt(square) / total


def accepted_before(answers):
  """Accepted drafts right before each token, since a rejection or the start.

  A block lasts up to a rejection or until gamma + 1 tokens are accepted. So a
  token's place in its block, from 0 on, is this number modulo gamma + 1.

  Args:
    answers: Answers.

  Returns:
    int array of T.
  """
  index_T = np.arange(len(answers.kept_T))
  follows_T = np.concatenate([[False], ~answers.kept_T[:-1]])
  first_T = (answers.position_T == 0) | follows_T
  return index_T - np.maximum.accumulate(np.where(first_T, index_T, 0))


def calls(answers, gamma):
  """Verifier calls of each example at a draft length, E."""
  first_T = accepted_before(answers) % (gamma + 1) == 0
  return _by_example(answers, first_T)


def independent_calls(acceptance, gamma, length_E):
  """Calls expected if every draft were accepted with one probability.

  Leviathan et al. 2023 count (1 - a^(gamma + 1)) / (1 - a) tokens a call for
  answers without end; here the last block of an answer is cut.

  Args:
    acceptance: the probability a.
    gamma: draft length.
    length_E: tokens of each answer.

  Returns:
    Array of E.
  """
  G = gamma + 1
  # A block lasts n tokens with this probability, for n = G, ..., 1.
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
  return ratio(
    _by_example(answers, of_T & among_T), _by_example(answers, among_T)
  )


def _overall(answers, strict, gamma):
  """The row of a rule as a whole; bounds up to a draft length, and any."""
  every_T = np.ones_like(answers.kept_T)
  rejected, error = _share(answers, ~answers.kept_T, every_T)
  divergence, divergence_error = ratio(
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
  """Most that a rule gains over strict, its error, and at which gamma."""
  found = []
  for gamma in range(longest + 1):
    value, error = ratio(calls(strict, gamma), calls(answers, gamma))
    found.append((value, error, gamma))
  # Of equal ones the shortest drafts.
  value, error, gamma = max(found, key=lambda x: x[0])
  return {name: value, f'{name}_stderr': error, f'{name}_gamma': gamma}


def _calls(answers, strict, gamma):
  """The row of a rule at a draft length."""
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
  efficiency, error = ratio(length_E, calls_E)
  over_strict, over_error = ratio(calls(strict, gamma), calls_E)
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
  for name in analysis.CLASSES:
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
