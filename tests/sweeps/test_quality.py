import json

import pytest

from speccascade.sweeps import quality, settings


def _output(score, from_drafter, deferred):
  return {
    'score': score,
    'statistics': [score, 1],
    'tokens': len(from_drafter),
    'from_drafter': from_drafter,
    'deferred': deferred,
    'divergence': deferred / 2,
  }


def _setting(rule):
  return settings.Setting(rule, None, 1.0, 1.0, 0, 0)


def _counts(outputs, rule, plan=None, counted=None):
  return quality.summarise(
    outputs, 'exact_match', _setting(rule), plan, counted
  )['counts']


def test_summary_of_three_ragged_outputs_by_hand():
  outputs = [
    _output(1.0, '1101', 1),  # Blocks of gamma 1: 11, 0, 1.
    _output(0.0, '00', 2),  # 0, 0.
    _output(1.0, '11111', 0),  # 11, 11, 1.
  ]
  record = quality.summarise(
    outputs, 'exact_match', _setting('token_v3'), settings.Plan(1)
  )
  assert record['counts'] == {
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
  assert record['quality'] == pytest.approx(2 / 3)
  assert record['example_statistics'] == [[1.0, 1], [0.0, 1], [1.0, 1]]
  # The bootstrap's variance is p (1 - p) / 3, off by sqrt(1 / 800) = 3.5 % as
  # it has 400 resamples.
  assert record['quality_stderr'] == pytest.approx((2 / 27) ** 0.5, rel=0.14)
  assert record['output_length'] == pytest.approx(11 / 3)
  assert record['block_efficiency'] == pytest.approx(11 / 8)
  assert record['rejection_rate'] == pytest.approx(3 / 11)


def test_summary_of_a_model_alone_counts_its_own_calls():
  outputs = [
    {'statistics': [1.0, 1], 'tokens': 5},
    {'statistics': [0.0, 1], 'tokens': 7},
  ]
  counts = _counts(outputs, settings.DRAFTER_ALONE)
  assert (counts['drafter_steps'], counts['verifier_calls']) == (12, 0)
  counts = _counts(outputs, settings.VERIFIER_ALONE)
  assert (counts['drafter_steps'], counts['verifier_calls']) == (0, 12)


def test_summary_of_a_schedule_and_of_a_sequential_cascade():
  outputs = [_output(1.0, '1101', 1), _output(0.0, '00', 2)]
  counted = [
    {'verifier_calls': 3, 'drafter_steps': 5, 'accepted_lengths': [1, 1, 1]},
    {'verifier_calls': 2, 'drafter_steps': 4, 'accepted_lengths': [2, 0, 0]},
  ]
  plan = settings.Plan(1, 'cost')
  scheduled = _counts(outputs, 'chow', plan, counted)
  both = [a | b for a, b in zip(outputs, counted, strict=True)]
  assert _counts(both, settings.TOKEN_CASCADE) == scheduled
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


def test_a_torn_last_output_is_not_read(tmp_path):
  path = tmp_path / 'strict.jsonl'
  whole = json.dumps({'id': 'a', 'example': 0, 'score': 1.0})
  path.write_text(whole + '\n' + whole[:-5])
  assert list(quality._read(path)) == [('a', 0)]
