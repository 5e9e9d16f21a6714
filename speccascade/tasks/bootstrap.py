"""The paired bootstrap over examples: the error of every quality and count.

A resample draws as many examples as there are, with replacement. Numbers that
are compared take the same resamples, so what examples have in common cancels.
What is not resampled is taken as it is: the tokens of one example, which
depend on each other, stay together.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Koehn
2004, "Statistical significance tests for machine translation evaluation", for
the paired form and for metrics of a corpus.

Letters: N examples, K statistics of each, R resamples.
"""

import functools
from collections.abc import Sequence

import numpy as np

from speccascade.tasks import metrics

RESAMPLES = 400  # A standard error is then known to 1 / sqrt(800), 3.5 %.
_INTERVAL = (2.5, 97.5)  # Percentiles.


def resamples(
  num_examples: int, count: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
  """Draws examples with replacement.

  Args:
    num_examples: N, at least 1.
    count: R.
    seed: the same for numbers that are compared; another for another kind of
      examples, so that kinds are drawn independently.

  Returns:
    int array index_RxN, read-only: the examples of each resample.
  """
  return _drawn(num_examples, count, seed)


def interval(values_R: Sequence[float]) -> tuple[float, float]:
  """Returns the ends of the 95 % interval of a number over resamples."""
  low, high = np.percentile(values_R, _INTERVAL)
  return float(low), float(high)


def counts(num_examples: int, size: int, seed: int) -> np.ndarray:
  """Draws any number of examples with replacement.

  Args:
    num_examples: N, to draw from.
    size: number of the examples of a resample.
    seed: as of `resamples`.

  Returns:
    float array count_RxN: how often each resample has each example.
  """
  rng = np.random.default_rng(seed)
  share_N = np.full(num_examples, 1 / num_examples)
  return rng.multinomial(size, share_N, size=RESAMPLES).astype(float)


def sums(values_N: Sequence[float], index_RxN: np.ndarray) -> np.ndarray:
  """Returns the sum of the values in each resample, an array of R."""
  return np.take(values_N, index_RxN).sum(axis=1)


def ratio(
  a_N: Sequence[float],
  b_N: Sequence[float],
  index_RxN: np.ndarray | None = None,
) -> tuple[float, float]:
  """Returns sum a / sum b and its standard error.

  Args:
    a_N: a number of each example.
    b_N: another, not negative, with a positive sum.
    index_RxN: what `resamples` returned; by default `resamples(N)`.

  Returns:
    The ratio, and its standard deviation over the resamples in which sum b is
    positive; NaN for fewer than two examples.

  Raises:
    ValueError: sum b is not positive, or there are not as many a as b.
  """
  a_N, b_N = np.asarray(a_N), np.asarray(b_N)
  if a_N.shape != b_N.shape:
    raise ValueError(f'a has shape {a_N.shape} but b has {b_N.shape}')
  total = b_N.sum()
  if not total > 0:
    raise ValueError(f'the sum of b must be positive, got {total:g}')
  value = float(a_N.sum() / total)
  if len(a_N) < 2:
    return value, np.nan
  if index_RxN is None:
    index_RxN = resamples(len(a_N))
  a_R, b_R = sums(a_N, index_RxN), sums(b_N, index_RxN)
  defined_R = b_R > 0
  return value, float((a_R[defined_R] / b_R[defined_R]).std())


def qualities(
  metric_name: str,
  statistics_NxK: Sequence[Sequence[float]],
  index_RxN: np.ndarray,
) -> np.ndarray:
  """Returns the quality of each resample of the examples, an array of R.

  Args:
    metric_name: one of `metrics.METRICS`.
    statistics_NxK: the metric's statistics of each output.
    index_RxN: what `resamples` returned.
  """
  metric = metrics.get(metric_name)
  statistics_KxN = np.asarray(statistics_NxK).T
  # A statistic at a time: R x N x K numbers may be many.
  sums_RxK = np.stack([sums(x_N, index_RxN) for x_N in statistics_KxN], axis=1)
  return np.array([metric.value(sums_K) for sums_K in sums_RxK])


def standard_error(
  metric_name: str, statistics_NxK: Sequence[Sequence[float]]
) -> float:
  """Returns the standard error of a quality; 0 of one output tells nothing.

  Args:
    metric_name: one of `metrics.METRICS`.
    statistics_NxK: the metric's statistics of each output.
  """
  index_RxN = resamples(len(statistics_NxK))
  return float(qualities(metric_name, statistics_NxK, index_RxN).std())


@functools.lru_cache(maxsize=8)  # A report asks for the same ones many times.
def _drawn(num_examples, count, seed):
  rng = np.random.default_rng(seed)
  index_RxN = rng.integers(num_examples, size=(count, num_examples))
  index_RxN.setflags(write=False)
  return index_RxN
