"""What several answers to one example are worth together.

Sources: Chen et al. 2021, arXiv 2107.03374, equation 1, for pass@k; Wang et al.
2023, arXiv 2203.11171, for the majority (self-consistency).
"""

import collections
import math
from collections.abc import Sequence


def pass_at(k: int, number: int, right: int) -> float:
  """Returns the probability that one of k answers is right, unbiased.

  Args:
    k: answers drawn without replacement, 1 to `number`.
    number: of answers.
    right: how many of them are.

  Raises:
    ValueError: k is out of range.
  """
  if not 1 <= k <= number:
    raise ValueError(f'k={k} must be in 1..{number}, the number of answers')
  return 1 - math.comb(number - right, k) / math.comb(number, k)


def majority(answers: Sequence[str], nothing: str | None = None) -> int:
  """Returns where the answer that most agree on first stands.

  Of equally many the one that is there first.

  Args:
    answers: of one example.
    nothing: stands for one where none was found: it has no say, unless all are.
  """
  votes = collections.Counter(x for x in answers if x != nothing)
  if not votes:
    return 0
  (chosen, _), *_ = votes.most_common(1)
  return list(answers).index(chosen)
