"""The two numbers of Table 2 with their intervals.

Which points are at the verifier's quality, `choice` tests once. Each resample
draws the same examples for all points and makes the rest of the choice anew:
the fastest of them, and the best of those that are fast enough. Examples of
quality, timed examples and trials are drawn independently. A record has the
seconds of a trial over all its examples only, so the trials drawn scale a
resample of examples by one factor.

Letters: P points, N examples, T trials, R resamples.
"""

from typing import NamedTuple

import numpy as np

from speccascade.reports.stats import choice, points
from speccascade.tasks import bootstrap, metrics

_Z = 1.96  # Of the normal distribution, for the bootstrap's interval.
_TIMED, _TRIALS = 1, 2  # Seeds; examples of quality have the default.


class Estimate(NamedTuple):
  """A number of Table 2.

  Attributes:
    value: over the examples themselves; None where no point qualifies.
    low: start of the 95 % interval over the resamples in which a point
      qualifies; for a binary metric, Wilson's if that is lower.
    high: its end; for a binary metric, Wilson's if that is higher.
    reached: share of the resamples in which a point qualifies.
  """

  value: float | None
  low: float
  high: float
  reached: float


class Numbers(NamedTuple):
  """The two numbers of a method.

  Attributes:
    speedup: over the verifier, at its quality.
    quality: the best at no more than the verifier's latency.
    verdict: on the points, where none is shown to be at the verifier's quality.
  """

  speedup: Estimate
  quality: Estimate
  verdict: str


def numbers(group: list[dict]) -> dict[str, Numbers]:
  """Returns the numbers of each method.

  Args:
    group: records of one pair, task and sampling.

  Raises:
    ValueError: records differ in their number of examples, or the verifier
      alone is not among them.
  """
  verifier = _verifier(group)
  quality_PxR = np.array(list(_quality_rows(group)))
  # Column 0 is the examples themselves, by the trials of the record.
  speedup_PxR = np.array(
    [[points.speedup(r), *speedups(r, verifier)] for r in group]
  )
  tested = choice.tested(group)
  good_Px1 = np.array([[tested.reaches(r)] for r in group])
  fast_PxR = speedup_PxR >= 1
  found = {}
  for method in points.by_method(group):
    rows = [r['method'] == method for r in group]
    quality = _estimate(quality_PxR[rows], fast_PxR[rows])
    if metrics.get(verifier['metric']).binary:
      quality = _widened(quality, verifier['num_examples'])
    speedup = _estimate(speedup_PxR[rows], good_Px1[rows])
    own = [r for r in group if r['method'] == method]
    verdict = tested.verdict(own) if speedup.value is None else ''
    found[method] = Numbers(speedup, quality, verdict)
  return found


def seconds(record: dict, rows: slice = slice(None)) -> np.ndarray:
  """Returns the seconds of each resample of the timed examples and trials.

  Args:
    record: of any point. Points with as many examples and trials get the same
      draws: in each trial, all points are timed in turn.
    rows: the timed examples to draw from.

  Returns:
    Array of R.
  """
  seconds_N = np.array(record['example_seconds'][rows])
  index_RxN = bootstrap.resamples(len(seconds_N), seed=_TIMED)
  seconds_T = np.array(record['seconds'])
  T = len(seconds_T)
  index_RxT = bootstrap.resamples(T, seed=_TRIALS)
  drift_R = bootstrap.sums(seconds_T, index_RxT) / seconds_T.sum() - 1
  # The variance over resamples is (T - 1) / T of that over trials, which
  # matters for few trials.
  drift_R *= np.sqrt(T / max(T - 1, 1))
  return bootstrap.sums(seconds_N, index_RxN) * (1 + drift_R)


def speedups(
  record: dict, verifier: dict, rows: slice = slice(None)
) -> np.ndarray:
  """Returns the speed-up over the verifier alone of each of those resamples.

  Args:
    record: of any point.
    verifier: the verifier alone.
    rows: the timed examples to draw from.

  Returns:
    Array of R.
  """
  beside = points.verifier_beside(record, verifier)
  return seconds(beside, rows) / seconds(record, rows)


def tokens(record: dict) -> np.ndarray:
  """Returns the tokens of each of those resamples, an array of R.

  Args:
    record: whose timed tokens were counted.
  """
  index_RxN = bootstrap.resamples(len(record['timed_tokens']), seed=_TIMED)
  return bootstrap.sums(record['timed_tokens'], index_RxN)


def qualities(record: dict, rows: slice = slice(None)) -> np.ndarray:
  """Returns the quality of each resample of the examples, an array of R.

  Args:
    record: of any point; points with as many examples get the same draws.
    rows: the examples to draw from.
  """
  statistics_NxK = record['example_statistics'][rows]
  index_RxN = bootstrap.resamples(len(statistics_NxK))
  return bootstrap.qualities(record['metric'], statistics_NxK, index_RxN)


def _verifier(group):
  found = [r for r in group if r['method'] == points.VERIFIER]
  if not found:
    raise ValueError(
      'no record of verifier_alone, which the others are compared with'
    )
  for field in ('num_examples', 'latency_examples'):
    values = sorted({r[field] for r in group})
    if len(values) > 1:
      raise ValueError(
        f'records with {field} {" and ".join(map(str, values))} do not compare'
      )
  return found[0]


def _quality_rows(group):
  """1 + R qualities of each record, computed once for each text."""
  known = {}
  for record in group:
    text = points.text(record)
    if text not in known:
      known[text] = [record['quality'], *qualities(record)]
    yield known[text]


def _estimate(value_PxR, allowed_PxR):
  """Of the best allowed point of each column; column 0 is no resample."""
  best_R = np.where(allowed_PxR, value_PxR, -np.inf).max(0)
  value, *resampled = best_R
  reached = [x for x in resampled if np.isfinite(x)]
  low, high = bootstrap.interval(reached) if reached else (np.nan, np.nan)
  return Estimate(
    value=None if np.isinf(value) else float(value),
    low=low,
    high=high,
    reached=len(reached) / len(resampled),
  )


def _widened(estimate, num_examples):
  """Widens the interval of a share of examples to Wilson's at least.

  The bootstrap has no error where all examples are right (or all wrong), and
  too small a one where almost all are; Wilson's interval of a share does not
  fail there. Wilson (Journal of the American Statistical Association 22, 1927),
  recommended by Brown, Cai and DasGupta (Statistical Science 16, 2001). Two
  pooled samples of an example count as one, which is conservative.
  """
  if estimate.value is None:
    return estimate
  n, v = num_examples, estimate.value
  middle = (v + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
  half = _Z * np.sqrt(v * (1 - v) / n + (_Z / (2 * n)) ** 2) / (1 + _Z**2 / n)
  return estimate._replace(
    low=min(estimate.low, max(middle - half, 0.0)),
    high=max(estimate.high, min(middle + half, 1.0)),
  )
