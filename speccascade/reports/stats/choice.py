"""The points that the tables show: the fastest and the best of a group.

A point is at the verifier's quality if it is shown to lose no more than a
margin of it: the 95 % bounds on the losses of all points hold together. So
chance neither carries a point there nor keeps a lossless one from it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speccascade.reports.stats import points, promise

MARGIN = 0.02  # Of the verifier's quality: what counts as none lost.
_ROUNDING = 1e-9  # Of a loss.


class Tested(NamedTuple):
  """Which points of a group are at the verifier's quality.

  Attributes:
    own: promise.Group.
    bounds: promise.Bounds.
  """

  own: promise.Group
  bounds: promise.Bounds

  def reaches(self, record: dict) -> bool:
    """Whether a point is shown to be at the verifier's quality."""
    most = self.bounds.most_K[self.own.index(record)]
    return bool(most <= MARGIN + _ROUNDING)

  def verdict(self, group: Sequence[dict]) -> str:
    """Says of points, none of which is, what is known.

    'loses more' where each lost more than the margin, else how many examples
    would show the one that needs the fewest, if it loses as much on them.
    """
    needed = [
      self.bounds.needed(self.own.index(r), MARGIN + _ROUNDING) for r in group
    ]
    least = min(needed, default=math.inf)
    return 'loses more' if math.isinf(least) else f'undecided: {number(least)}'


def number(examples: float) -> str:
  """Returns a number of examples in two digits, rounded up: 'n ≈ 1,300'."""
  digits = max(0, len(str(math.ceil(examples))) - 2)
  rounded = math.ceil(examples / 10**digits) * 10**digits
  return f'n ≈ {max(2, rounded):,}'


def tested(records: Sequence[dict]) -> Tested | None:
  """Tests the points of one pair, task and sampling.

  Args:
    records: of as many examples each.

  Returns:
    None where the verifier alone has no record yet.
  """
  alone = [r for r in records if r['method'] == points.VERIFIER]
  return _beside(alone[0], records) if alone else None


def fastest(group: Sequence[dict], tested: Tested | None) -> dict | None:
  """Returns the fastest record at the verifier's quality, if any.

  Of equally fast ones the better, then the earlier.
  """
  reached = [r for r in group if tested is not None and tested.reaches(r)]
  return max(
    reached, key=lambda r: (points.speedup(r), r['quality']), default=None
  )


def control(
  record: dict, records: Sequence[dict], tested: Tested
) -> dict | None:
  """Returns the fastest of `points.CONTROLS` at the quality of a point, if any.

  Args:
    record: of any point.
    records: of its pair, task and sampling.
    tested: what `tested` returned for them.

  Returns:
    The fastest control at the verifier's quality, if the point is; else the
    fastest that is shown to lose no more than `MARGIN` of the point's.
  """
  controls = [r for r in records if r['method'] in points.CONTROLS]
  if not tested.reaches(record):
    tested = _beside(record, [record, *controls])
  return fastest(controls, tested)


def best(group: Sequence[dict]) -> dict | None:
  """Returns the best record at no more than the verifier's latency, if any.

  Of equally good ones the faster, then the earlier.
  """
  reached = [r for r in group if points.relative_latency(r) <= 1]
  return max(
    reached, key=lambda r: (r['quality'], points.speedup(r)), default=None
  )


def shown(records: Sequence[dict]) -> list[dict]:
  """Returns the points of one sampling whose latencies the tables show."""
  all_, found = tested(records), []
  for group in points.by_method(records).values():
    found += [best(group), fastest(group, all_)]
    for plan in points.plans(group):
      own = [r for r in group if points.plan(r) == plan]
      found.append(fastest(own, all_))
  return [r for r in found if r is not None]


def _beside(base, records):
  """Tests the points of records beside one of them."""
  own = promise.group(records, base)
  rows = np.arange(own.statistics_KxNxS.shape[1])
  return Tested(own, promise.bounds(own, rows))
