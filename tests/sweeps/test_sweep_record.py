"""A point's record, by hand."""

import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import schedules
from speccascade.sweeps import latency, points, record
from speccascade.timing import costs as costs_lib


def _output(score, from_drafter, deferred):
  return {
    'score': score,
    'statistics': [score, 1],
    'tokens': len(from_drafter),
    'from_drafter': from_drafter,
    'deferred': deferred,
    'divergence': deferred / 2,
  }


def _setting(method, *values):
  return points.Setting(method, values, 1.0, 1.0, 0, 0)


def _counts(outputs, method, plan=None, counted=None):
  return record.of_outputs(
    outputs, 'exact_match', _setting(method, 0.5), plan, counted
  )['counts']


def test_summary_of_three_ragged_outputs_by_hand():
  outputs = [
    _output(1.0, '1101', 1),  # Blocks of gamma 1: 11, 0, 1.
    _output(0.0, '00', 2),  # 0, 0.
    _output(1.0, '11111', 0),  # 11, 11, 1.
  ]
  fields = record.of_outputs(
    outputs, 'exact_match', _setting('token_v3', 0.5), schedules.Plan(1)
  )
  assert fields['counts'] == {
    'tokens': 11,
    'verifier_calls': 8,
    'drafter_steps': 16,
    'drafted': 16,
    'accepted': 8,
    'rejected': 3,
    'deferred': 3,
    'divergence': 1.5,
    'accepted_lengths': [3, 2, 3],
  }
  assert fields['quality'] == pytest.approx(2 / 3)
  assert fields['example_statistics'] == [[1.0, 1], [0.0, 1], [1.0, 1]]
  assert fields['example_tokens'] == [4, 2, 5]
  assert fields['example_rejected'] == [1, 2, 0]
  assert fields['positions'] == [[8, 11]]
  # The bootstrap's variance is p (1 - p) / 3, off by sqrt(1 / 800) = 3.5 % as
  # it has 400 resamples.
  assert fields['quality_stderr'] == pytest.approx((2 / 27) ** 0.5, rel=0.14)
  assert fields['output_length'] == pytest.approx(11 / 3)
  assert fields['block_efficiency'] == pytest.approx(11 / 8)
  assert fields['rejection_rate'] == pytest.approx(3 / 11)


def test_summary_of_a_model_alone_counts_its_own_calls():
  outputs = [
    {'statistics': [1.0, 1], 'tokens': 5},
    {'statistics': [0.0, 1], 'tokens': 7},
  ]
  counts = _counts(outputs, 'drafter_alone')
  assert (counts['drafter_steps'], counts['verifier_calls']) == (12, 0)
  counts = _counts(outputs, 'verifier_alone')
  assert (counts['drafter_steps'], counts['verifier_calls']) == (0, 12)


def test_summary_of_a_schedule_and_of_a_sequential_cascade():
  outputs = [_output(1.0, '1101', 1), _output(0.0, '00', 2)]
  counted = [
    {'verifier_calls': 3, 'drafter_steps': 5, 'accepted_lengths': [1, 1, 1]},
    {'verifier_calls': 2, 'drafter_steps': 4, 'accepted_lengths': [2, 0, 0]},
  ]
  plan = schedules.Plan(1, 'cost')
  scheduled = _counts(outputs, 'chow', plan, counted)
  assert _counts(outputs, 'token_cascade', None, counted) == scheduled
  assert scheduled == {
    'tokens': 6,
    'verifier_calls': 5,
    'drafter_steps': 9,
    'drafted': 9,
    'accepted': 3,
    'rejected': 3,
    'deferred': 3,
    'divergence': 1.5,
    'accepted_lengths': [3, 1, 1],
  }


def _timed(**changes):
  seconds_TxP = np.array([[1.0, 2.0], [5.0, 3.0], [3.0, 1.0]])
  values = dict(
    seconds=seconds_TxP,
    verifier_seconds=4 * seconds_TxP,
    strict_seconds=2 * seconds_TxP,
    tokens=np.array([[5, 7], [5, 7], [5, 8]]),
    calls=np.array([[2, 3], [2, 3], [2, 4]]),
    digests=np.array([['a', 'b'], ['a', 'b'], ['a', 'c']]),
  )
  return latency.Timed(**values | changes)


def test_turns_of_three_trials_of_two_prompts():
  fields = record.of_turns(_timed(), [{'digest': 'a'}, {'digest': 'b'}])
  assert fields == {
    'seconds': [3, 8, 4],
    'example_seconds': [3, 2],
    'verifier_seconds': [12, 32, 16],
    'verifier_example_seconds': [12, 8],
    'strict_seconds': [6, 16, 8],
    'relative_latency': [0.25] * 3,
    'timed_tokens': [5, 7],
    'timed_calls': [2, 3],
    'timed_differs': pytest.approx(1 / 6),
  }
  alone = record.of_turns(
    _timed(strict_seconds=None), [{'digest': 'x'}, {'digest': 'y'}]
  )
  assert alone['strict_seconds'] is None
  assert alone['timed_differs'] == 1


def test_a_measured_plan_tells_the_costs_it_weighed():
  costs = costs_lib.Costs(1.0, {1: 2.0, 2: 3.0}, {}, spread=1.25)
  plan = schedules.Plan(1, 'cost')
  assert record.of_costs(costs, plan) == {
    'costs': [3.0, 5.0],
    'cost_spread': 1.25,
  }
  none = {'costs': None, 'cost_spread': None}
  assert record.of_costs(costs, schedules.Plan(1)) == none
  assert record.of_costs(costs, None) == none


def test_a_point_is_named_by_its_method_and_plan():
  setting = points.Setting('chow', (0.3,), 0.5, 0.9, 4, 7)
  plan = schedules.Plan(4, 'confidence', 0.6)
  fields = record.of_point(setting, plan)
  assert fields['id'] == 'chow-alpha0.3-g4-confidence0.6-t0.5-p0.9-k4-s7'
  assert fields['parameters'] == {'alpha': 0.3}
  assert (fields['gamma'], fields['schedule']) == (4, 'confidence')
  alone = points.like(setting, methods.VERIFIER_ALONE)
  assert record.of_point(alone, None)['gamma'] is None


def test_positions_are_counted_over_answers_that_are_as_long():
  outputs = [
    _output(1.0, '1' * 16 + '01', 1),
    _output(0.0, '0' + '1' * 31 + '0', 2),
    _output(1.0, '10', 1),
  ]
  fields = record.of_outputs(
    outputs, 'exact_match', _setting('token_v3', 0.5), schedules.Plan(1)
  )
  assert fields['positions'] == [[32, 34], [17, 18], [0, 1]]
  alone = [{k: x[k] for k in ('statistics', 'tokens')} for x in outputs]
  fields = record.of_outputs(
    alone, 'exact_match', _setting('verifier_alone'), None
  )
  assert fields['positions'] == []


@pytest.mark.parametrize(
  ('method', 'values', 'family'),
  [
    ('verifier_alone', (), 'models'),
    ('token_v3', (0.5,), 'token'),
    ('top_p', (0.5,), 'truncation'),
    ('bild_rollback', (1.0,), 'cascades'),
    ('sequence_min', (0.5,), 'cascades'),
    ('token_cascade', (0.5,), 'cascades'),
  ],
)
def test_a_point_tells_its_family(method, values, family):
  told = record.of_point(_setting(method, *values), None)
  assert told['family'] == family
