"""Expected rejections and predicted latencies beside the measured ones.

Rejections: GenSpecSample (arXiv 2405.19261) rejects a token with probability
D_TV(π, q), so the expected number of rejections is the sum of D_TV over the
emitted positions. Latency: the predicted seconds are the costs of drafter steps
and verifier blocks times their counts.
"""

import math
import statistics

import numpy as np

from speccascade.reports.stats import cells, points
from speccascade.tasks import bootstrap


def select(records: list[dict]) -> list[dict]:
  """Returns the records with a predicted latency, models alone left out."""
  return [
    r
    for r in records
    if r['method'] not in points.MODELS and r['predicted_seconds'] is not None
  ]


def texts(records: list[dict]) -> list[dict]:
  """Returns a record of each text whose rejections D_TV(π, q) predicts.

  Records that differ in their draft plan alone are one text with one number of
  rejections, unless the plan changes the method's text. Methods that do not
  reject with probability D_TV(π, q) are left out; a latency need not be
  predicted.
  """
  found = {}
  for record in records:
    if record['traits']['divergence_rejects']:
      key = *cells.cell(record), *points.text(record)
      found.setdefault(key, record)
  return list(found.values())


def expected_rejection_rate(record: dict) -> float:
  """Returns the mean D_TV(π, q) of an emitted position."""
  return record['counts']['divergence'] / record['counts']['tokens']


def rejection_error(record: dict) -> float:
  """Returns the standard error of the measured rejection rate.

  The bootstrap's, over the examples; NaN for a single one.
  """
  _, error = bootstrap.ratio(
    record['example_rejected'], record['example_tokens']
  )
  return error


def predicted_latency(record: dict, records: list[dict]) -> float:
  """Returns the predicted seconds relative to the verifier's.

  Relative to the seconds predicted for the verifier, so that it cancels if the
  machine was slower or faster when costs were measured than when points were
  timed. Where these are not known, relative to the verifier's measured seconds,
  averaged over the trials as in `points.relative_latency`.

  Args:
    record: a point with a predicted latency.
    records: those of its pair and task, with or without the verifier alone.
  """
  for other in records:
    if (
      other['method'] == points.VERIFIER
      and points.sampling(other) == points.sampling(record)
      and other['predicted_seconds']
    ):
      return record['predicted_seconds'] / other['predicted_seconds']
  return statistics.fmean(
    record['predicted_seconds'] / seconds
    for seconds in record['verifier_seconds']
  )


def correlation(x: list[float], y: list[float]) -> float:
  """Returns Pearson's correlation; NaN under three points or for a constant."""
  if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
    return math.nan
  return float(np.corrcoef(x, y)[0, 1])


def rank_correlation(x: list[float], y: list[float]) -> float:
  """Returns Spearman's correlation: Pearson's of the ranks."""
  return correlation(_ranks(x), _ranks(y))


def error(expected: list[float], measured: list[float]) -> float:
  """Returns the mean of |expected / measured - 1| where measured is not 0."""
  return statistics.fmean(
    [abs(x / y - 1) for x, y in zip(expected, measured, strict=True) if y]
    or [math.nan]
  )


def _ranks(values):
  """Ranks; equal values share the mean of theirs."""
  x = np.array(values)
  return (x > x[:, None]).sum(0) + (x == x[:, None]).sum(0) / 2
