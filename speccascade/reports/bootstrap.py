"""How far the numbers of Table 2 may be off: the bootstrap over examples.

Each resample draws examples with replacement, the same ones for all points,
and goes through the whole choice again: what the verifier's quality is, which
points reach it, which of them is fastest. Examples of quality, timed ones and
the trials these were timed in are drawn apart. Of a trial records tell the
seconds of all examples together: the trials drawn make a resample of examples
slower or faster by one factor.

Letters: P points, N examples, T trials, R resamples.
"""

from typing import NamedTuple

import numpy as np

from speccascade import scoring
from speccascade.reports import points

_RESAMPLES = 400
_INTERVAL = (2.5, 97.5)  # Percentiles.
_Z = 1.96  # Of the normal distribution, for the same interval.
_TIMED, _TRIALS = 1, 2  # Seeds; examples of quality have scoring's.


class Estimate(NamedTuple):
  """A number of Table 2.

  Attributes:
    value: on the examples themselves; None where it is not reached.
    low: start of the 95 % interval over the resamples that reach it; of exact
      matches, Wilson's if that is lower.
    high: its end; of exact matches, Wilson's if that is higher.
    reached: share of the resamples that reach it.
  """

  value: float | None
  low: float
  high: float
  reached: float


class Numbers(NamedTuple):
  """Both numbers of a rule.

  Attributes:
    speedup: over the verifier, at no less than its quality.
    quality: the best at no more than the verifier's latency.
  """

  speedup: Estimate
  quality: Estimate


def numbers(group: list[dict]) -> dict[str, Numbers]:
  """Returns the numbers of each rule.

  Args:
    group: records of one pair, task and sampling.

  Raises:
    ValueError: records differ in their number of examples, or the verifier
      alone is not among them.
  """
  verifier = _verifier(group)
  quality_PxR, speedup_PxR = (
    np.array([row for row in _rows(group, kind)])
    for kind in (_qualities, _seconds)
  )
  i = group.index(verifier)
  speedup_PxR = speedup_PxR[i] / speedup_PxR
  # Column 0 is the examples themselves, as the record tells them.
  speedup_PxR[:, 0] = [points.speedup(r) for r in group]
  good_PxR = quality_PxR >= quality_PxR[i]
  fast_PxR = speedup_PxR >= 1
  found = {}
  for rule in points.by_rule(group):
    rows = [r['rule'] == rule for r in group]
    quality = _estimate(quality_PxR[rows], fast_PxR[rows])
    if verifier['metric'] == 'exact_match':
      quality = _widened(quality, verifier['num_examples'])
    speedup = _estimate(speedup_PxR[rows], good_PxR[rows])
    found[rule] = Numbers(speedup, quality)
  return found


def seconds(record: dict, rows: slice = slice(None)) -> np.ndarray:
  """Returns the seconds of each resample of the timed examples and trials.

  Args:
    record: of any point; the same draws for all that have as many examples
      and trials, which go in turns.
    rows: the timed examples to draw from.

  Returns:
    Array of R.
  """
  seconds_N = np.array(record['example_seconds'][rows])
  index_RxN = scoring.resamples(len(seconds_N), _RESAMPLES, _TIMED)
  seconds_T = np.array(record['seconds'])
  index_RxT = scoring.resamples(len(seconds_T), _RESAMPLES, _TRIALS)
  drift_R = seconds_T[index_RxT].mean(1) / seconds_T.mean() - 1
  # Resamples of T spread by (T - 1) / T of the variance, which few trials show.
  T = len(seconds_T)
  drift_R *= np.sqrt(T / max(T - 1, 1))
  return seconds_N[index_RxN].sum(1) * (1 + drift_R)


def qualities(record: dict, rows: slice = slice(None)) -> np.ndarray:
  """Returns the quality of each resample of the examples: an array of R."""
  statistics_NxK = np.array(record['example_statistics'])[rows]
  index_RxN = scoring.resamples(len(statistics_NxK), _RESAMPLES)
  return scoring.resampled(record['metric'], statistics_NxK, index_RxN)


def _verifier(group):
  found = [r for r in group if r['rule'] == points.VERIFIER]
  if not found:
    raise ValueError('no record of the verifier alone: nothing to compare with')
  for field in ('num_examples', 'latency_examples'):
    if len({r[field] for r in group}) > 1:
      raise ValueError(f'records of different {field} do not compare')
  return found[0]


def _rows(group, kind):
  """1 + R numbers of each record, texts that are equal scored once."""
  known = {}
  for record in group:
    key, values = kind(record)
    if key not in known:
      known[key] = values()
    yield known[key]


def _qualities(record):
  # A plan of drafts changes no text.
  key = tuple(record[k] for k in ('rule', 'alpha', *points.Sampling._fields))

  return key, lambda: [record['quality'], *qualities(record)]


def _seconds(record):
  whole = sum(record['example_seconds'])
  return record['id'], lambda: [whole, *seconds(record)]


def _estimate(value_PxR, allowed_PxR):
  """Of the best allowed point of each resample, column 0 being no resample."""
  best_R = np.where(allowed_PxR, value_PxR, -np.inf).max(0)
  value, *resampled = best_R
  reached = [x for x in resampled if np.isfinite(x)]
  low, high = np.percentile(reached, _INTERVAL) if reached else (np.nan,) * 2
  return Estimate(
    value=None if np.isinf(value) else float(value),
    low=float(low),
    high=float(high),
    reached=len(reached) / len(resampled),
  )


def _widened(estimate, num_examples):
  """An interval of a share of examples, at least as wide as Wilson's.

  Resamples of few errors hardly differ, and of none not at all. Wilson (Journal
  of the American Statistical Association 22, 1927), advised by Brown, Cai and
  DasGupta (Statistical Science 16, 2001). Two samples of an example count as
  one, which errs on the wide side.
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
