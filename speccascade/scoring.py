"""Quality of many outputs, from statistics of each that add up.

A corpus metric is a function of sums over its examples, BLEU of n-gram
counts, a mean of scores and ones. With the statistics of each example kept,
the quality of any subset or resample is known without the texts.

Letters: N examples, K statistics of each, R resamples.
"""

from collections.abc import Sequence

import numpy as np
import sacrebleu

_RESAMPLES = 400  # Behind a standard error.
_ORDERS = 4  # BLEU's n-grams.


def of_score(score: float) -> list[float]:
  """Statistics of an example where the metric is a mean of scores."""
  return [score, 1]


def of_bleu(text: str, references: Sequence[str]) -> list[int]:
  """Statistics of a translation.

  Returns:
    Its length, the length of the nearest reference, and the matched and the
    possible n-grams of order 1 to 4, as sacrebleu counts them.
  """
  bleu = sacrebleu.sentence_bleu(text, references)
  return [bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals]


def quality(metric: str, statistics_NxK: Sequence[Sequence[float]]) -> float:
  """Quality of a corpus: BLEU from 0 to 100, other metrics from 0 to 1.

  Args:
    metric: a task's `metric`.
    statistics_NxK: a task's `statistics` of each output.

  Raises:
    ValueError: there are no outputs.
  """
  if not len(statistics_NxK):
    raise ValueError('no outputs: their quality is undefined')
  return _of_sums(metric, np.sum(statistics_NxK, axis=0))


def resamples(num_examples: int, count: int, seed: int = 0) -> np.ndarray:
  """Examples drawn with replacement for the bootstrap: int index_RxN.

  Args:
    num_examples: N.
    count: R.
    seed: equal for all points, so that they compare; one for each kind of
      example, so that kinds are drawn apart where there are as many of both.
  """
  rng = np.random.default_rng(seed)
  return rng.integers(num_examples, size=(count, num_examples))


def resampled(metric, statistics_NxK, index_RxN) -> np.ndarray:
  """Quality of each resample of the examples: an array of R."""
  statistics_NxK = np.asarray(statistics_NxK)
  return np.array(
    [_of_sums(metric, statistics_NxK[i_N].sum(0)) for i_N in index_RxN]
  )


def standard_error(
  metric: str, statistics_NxK: Sequence[Sequence[float]]
) -> float:
  """Standard error of the quality: the bootstrap's, over the examples."""
  index_RxN = resamples(len(statistics_NxK), _RESAMPLES)
  return float(resampled(metric, statistics_NxK, index_RxN).std())


def _of_sums(metric, sums_K):
  if metric != 'bleu':
    return float(sums_K[0] / sums_K[1])
  length, reference_length, *counts = (int(x) for x in sums_K)
  return sacrebleu.BLEU.compute_bleu(
    counts[:_ORDERS],
    counts[_ORDERS:],
    length,
    reference_length,
    smooth_method='exp',  # As `corpus_bleu` does.
  ).score
