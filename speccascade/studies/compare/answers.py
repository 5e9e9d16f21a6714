"""Answers of any library, and where they differ.

Letters: N generated tokens.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speccascade.decoding import results


class Answers(NamedTuple):
  """Of some prompts, in their order.

  Attributes:
    rows: token_N of each, up to and with the first that ends it.
    calls: of the verifier that gave tokens, summed over the rows.
  """

  rows: list[np.ndarray]
  calls: int

  @property
  def tokens(self) -> int:
    """Number of tokens of all rows."""
    return sum(map(len, self.rows))


def of(result: results.Result) -> Answers:
  """Returns the answers of a decoding here, on the host."""
  rows = [
    token_N[:length]
    for token_N, length in zip(result.token_BxN, result.length_B, strict=True)
  ]
  if result.counts is None:  # A call a token.
    return Answers(rows, sum(map(len, rows)))
  return Answers(rows, int(result.counts.verifier_calls_B.sum()))


def join(parts: Sequence[Answers]) -> Answers:
  """Returns the answers of all batches."""
  return Answers(
    [row for part in parts for row in part.rows],
    sum(part.calls for part in parts),
  )


def ended(token_N: np.ndarray, eos_ids: Sequence[int]) -> np.ndarray:
  """Returns the tokens up to and with the first of `eos_ids`."""
  ends = np.flatnonzero(np.isin(token_N, eos_ids))
  return token_N[: ends[0] + 1] if len(ends) else token_N


def differences(a: Answers, b: Answers) -> Iterator[tuple[int, int]]:
  """Yields (row, first position that differs) of rows that are not equal."""
  for row, (a_N, b_N) in enumerate(zip(a.rows, b.rows, strict=True)):
    if not np.array_equal(a_N, b_N):
      shared = min(len(a_N), len(b_N))
      unequal = np.flatnonzero(a_N[:shared] != b_N[:shared])
      yield row, int(unequal[0]) if len(unequal) else shared
