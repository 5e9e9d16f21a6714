"""A sweep that grew on a slower day is reported as one made at once."""

import numpy as np
import pytest

from speccascade.reports import report
from speccascade.reports.render import page
from speccascade.reports.stats import consistency, points
from speccascade.runs import records as records_lib
from tests.reports import synthetic

_SECONDS = (
  'seconds',
  'example_seconds',
  'verifier_seconds',
  'verifier_example_seconds',
)
_POINTS = [
  ('verifier_alone', None, None, 1.0),
  ('drafter_alone', None, None, 0.1),
  ('strict', None, 3, 0.7),
  ('strict', None, 5, 0.6),
  ('opt', 0.1, 3, 0.55),
  ('opt', 0.1, 5, 0.5),
  ('chow', 0.1, 3, 0.65),
  ('chow', 0.1, 5, 0.45),
]


def _record(rng, base_TxP, method, alpha, gamma, latency):
  """A point whose latency varies between examples and trials."""
  seconds_TxP = base_TxP
  if method != points.VERIFIER:
    seconds_TxP = latency * base_TxP * rng.uniform(0.8, 1.2, base_TxP.shape)
  seconds_T, verifier_T = seconds_TxP.sum(1), base_TxP.sum(1)
  right = rng.random(20) < 0.9
  return synthetic.record(
    method,
    alpha,
    gamma,
    seconds_TxP.mean(0).tolist(),
    right.astype(int).tolist(),
    seconds=seconds_T.tolist(),
    verifier_seconds=verifier_T.tolist(),
    verifier_example_seconds=base_TxP.mean(0).tolist(),
    strict_seconds=None,
    relative_latency=(seconds_T / verifier_T).tolist(),
  )


@pytest.fixture
def at_once():
  rng = np.random.default_rng(0)
  base_TxP = rng.uniform(0.5, 2, (4, 10))
  return [_record(rng, base_TxP, *point) for point in _POINTS]


def _slower(record):
  """The record as a machine of half the speed times it."""
  return record | {k: [2 * x for x in record[k]] for k in _SECONDS}


def _text(records):
  for record in records:
    records_lib.check(record)
    consistency.check(record)
  return page.markdown(report.sections(records))


@pytest.mark.parametrize(
  'is_new',
  [
    lambda r: r['method'] == 'chow',
    lambda r: r['gamma'] == 5,
    # The old ones are those that lost their turns.
    lambda r: r['method'] in points.MODELS,
  ],
)
def test_points_of_a_slower_day_compare(at_once, is_new):
  grown = [_slower(r) if is_new(r) else r for r in at_once]
  assert grown != at_once
  assert _text(grown) == _text(at_once)


def test_old_records_compare_with_that_of_the_verifier(at_once):
  old = [r | {'verifier_example_seconds': None} for r in at_once]
  assert _text(old) == _text(at_once)
