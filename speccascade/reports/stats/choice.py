"""The points that the tables show: the fastest and the best of a group."""

import math

from speccascade.reports.stats import points


def verifier_quality(records: list[dict]) -> float:
  """Returns the quality of the verifier alone.

  Args:
    records: of one pair, task and sampling.

  Returns:
    Infinity where it has no record yet, as no point is known to reach it.
  """
  for record in records:
    if record['method'] == points.VERIFIER:
      return record['quality']
  return math.inf


def fastest(group: list[dict], quality: float) -> dict | None:
  """Returns the fastest record of at least this quality, if any.

  Of equally fast ones the better, then the earlier.
  """
  reached = [r for r in group if r['quality'] >= quality]
  return max(
    reached, key=lambda r: (points.speedup(r), r['quality']), default=None
  )


def best(group: list[dict]) -> dict | None:
  """Returns the best record at no more than the verifier's latency, if any.

  Of equally good ones the faster, then the earlier.
  """
  reached = [r for r in group if points.relative_latency(r) <= 1]
  return max(
    reached, key=lambda r: (r['quality'], points.speedup(r)), default=None
  )


def shown(records: list[dict]) -> list[dict]:
  """Returns the points of one sampling whose latencies the tables show."""
  quality = verifier_quality(records)
  found = []
  for group in points.by_method(records).values():
    found += [best(group), fastest(group, quality)]
    for plan in points.plans(group):
      own = [r for r in group if points.plan(r) == plan]
      found.append(fastest(own, quality))
  return [r for r in found if r is not None]
