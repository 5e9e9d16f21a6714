"""Tests of expected rejections and predicted latency."""

import math

import pytest

from speccascade.reports.sections import calibration as section
from speccascade.reports.stats import calibration
from tests.reports import synthetic

_point = synthetic.point


def test_each_text_counts_once():
  same = [_point('a', 0.1, 0.5, gamma) for gamma in (3, 5, 9)]
  same[1] |= {'predicted_seconds': None}
  others = [
    # The alpha of the others is 0.5.
    _point('a', 0.2, 0.5) | {'parameters': {'alpha': 0.75}},
    # No latency is predicted under a schedule, but rejections are.
    _point('c', 0.1, 0.5, schedule='cost', predicted_seconds=None),
    _point('b', 0.1, 0.5),
    _point('a', 0.1, 0.5, temperature=1.0),
    _point('a', 0.1, 0.5, task='x'),
  ]
  assert calibration.texts(same + others) == [same[0], *others]


def test_error_without_anything_measured():
  assert math.isnan(calibration.error([0.0, 0.1], [0.0, 0.0]))


def test_correlation():
  assert calibration.correlation([1, 2, 3], [6, 4, 2]) == pytest.approx(-1)
  assert calibration.correlation([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0)
  assert math.isnan(calibration.correlation([1, 2], [1, 2]))
  assert math.isnan(calibration.correlation([1, 1, 1], [1, 2, 3]))
  assert math.isnan(calibration.correlation([1, 2, 3], [1, 1, 1]))


def test_plans_that_change_a_text_have_a_text_each():
  own = [_point('a', 0.1, 0.5, g, plan_changes_text=True) for g in (3, 5)]
  own += [own[0] | {'schedule': 'cost'}]
  own += [own[2] | {'schedule_parameter': 0.3}]
  assert calibration.texts([*own, own[0] | {'id': 'again'}]) == own


def test_methods_that_do_not_reject_by_divergence_have_no_text():
  records = [
    _point('bild_rollback', 0.1, 0.5),
    _point('other', 0.1, 0.5, divergence_rejects=False),
  ]
  # A name says nothing.
  assert calibration.texts(records) == records[:1]


def test_the_error_of_a_rejection_rate_is_over_examples():
  record = synthetic.record('a', scores=[1] * 100)
  # Of examples that reject all or nothing, not of tokens: sqrt(0.25 / 100).
  record['example_tokens'] = [10] * 100
  record['example_rejected'] = [10, 0] * 50
  assert calibration.rejection_error(record) == pytest.approx(0.05, rel=0.15)
  one = record | {'example_tokens': [10], 'example_rejected': [3]}
  assert math.isnan(calibration.rejection_error(one))


def test_drift_since_costs_were_measured_cancels():
  # Costs were measured on a machine half as fast as when points were timed.
  slow = dict(predicted_seconds=4.0, temperature=1.0)
  records = [
    synthetic.record('verifier_alone', temperature=0.0),
    synthetic.record('verifier_alone', **slow),
    _point('opt', 0.1, 0.3, **slow | {'predicted_seconds': 1.2}),
  ]
  got = calibration.predicted_latency(records[-1], records)
  assert got == pytest.approx(0.3)
  # Without a prediction of the verifier: 1.2 s over the 2 s measured.
  records[1] |= {'predicted_seconds': None}
  got = calibration.predicted_latency(records[-1], records)
  assert got == pytest.approx(0.6)


def test_each_task_has_its_own_prediction_of_the_verifier():
  slow = dict(predicted_seconds=4.0)
  records = [
    synthetic.record('verifier_alone', task='x', predicted_seconds=9.0),
    synthetic.record('verifier_alone', **slow),
    _point('opt', 0.1, 0.3, predicted_seconds=1.2),
  ]
  rows = section.accuracy(records).rows
  assert rows[-1][-1] == '0.0%'
