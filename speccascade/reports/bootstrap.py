"""How far the numbers of Table 2 may be off: the bootstrap over examples.

Each resample draws examples with replacement, the same ones for all points,
and goes through the whole choice again: what the verifier's quality is, which
points reach it, which of them is fastest. Examples of quality and timed ones
are drawn apart.

Letters: P points, N examples, R resamples.
"""

from typing import NamedTuple

import numpy as np

from speccascade import scoring
from speccascade.reports import points

_RESAMPLES = 400
_INTERVAL = (2.5, 97.5)  # Percentiles.


class Estimate(NamedTuple):
  """A number of Table 2.

  Attributes:
    value: on the examples themselves; None where it is not reached.
    low: start of the 95 % interval over the resamples that reach it.
    high: its end.
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
  return {
    rule: Numbers(
      _estimate(speedup_PxR[rows], good_PxR[rows]),
      _estimate(quality_PxR[rows], fast_PxR[rows]),
    )
    for rule in points.by_rule(group)
    for rows in [[r['rule'] == rule for r in group]]
  }


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

  def values():
    index_RxN = scoring.resamples(record['num_examples'], _RESAMPLES)
    statistics = record['example_statistics']
    resampled_R = scoring.resampled(record['metric'], statistics, index_RxN)
    return [record['quality'], *resampled_R]

  return key, values


def _seconds(record):
  def values():
    index_RxN = scoring.resamples(record['latency_examples'], _RESAMPLES)
    seconds_N = np.array(record['example_seconds'])
    return [seconds_N.sum(), *seconds_N[index_RxN].sum(1)]

  return record['id'], values


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
