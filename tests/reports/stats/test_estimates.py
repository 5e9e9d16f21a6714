"""Tests of the two numbers of Table 2."""

import numpy as np
import pytest

from speccascade.reports.stats import choice, estimates
from tests.reports import synthetic

SCORES = [1, 1, 1, 0, 1, 0, 1, 1, 1, 1]


def _group(*records):
  verifier = synthetic.record('verifier_alone', scores=SCORES)
  return [verifier, *records]


def test_equal_quality_is_reached_in_every_resample():
  group = _group(
    synthetic.record('opt', 0.1, 5, latency=0.5, scores=SCORES),
    synthetic.record('opt', 0.2, 5, latency=0.25, scores=[0] * 10),
  )
  speedup, quality, _ = estimates.numbers(group)['opt']
  assert speedup == (2.0, 2.0, 2.0, 1.0)
  assert quality.value == 0.8
  # The standard error of a mean of ten such scores is 0.126.
  assert 0.45 < quality.low < 0.65 < 0.9 < quality.high <= 1
  assert quality.reached == 1


def test_a_point_that_is_a_little_worse_is_loses_more_or_is_undecided(
  monkeypatch,
):
  worse = [1, 1, 1, 0, 1, 0, 1, 1, 1, 0]
  group = _group(synthetic.record('opt', 0.1, 5, latency=0.5, scores=worse))
  speedup, _, verdict = estimates.numbers(group)['opt']
  assert (speedup.value, speedup.reached) == (None, 0)
  assert verdict == 'loses more'  # An eighth is lost.
  monkeypatch.setattr(choice, 'MARGIN', 0.13)
  assert estimates.numbers(group)['opt'].speedup.value == 2


@pytest.mark.bounds
def test_ten_examples_decide_little():
  group = _group(
    synthetic.record('opt', 0.1, 5, latency=0.5, scores=SCORES),
    synthetic.record('strict', None, 5, latency=0.25, scores=[0] * 10),
  )
  found = estimates.numbers(group)
  assert found['opt'].speedup.value is None
  assert found['opt'].verdict.startswith('undecided: n ≈ ')
  assert (found['strict'].speedup.value, found['strict'].verdict) == (4, '')


def test_a_method_that_never_reaches_it():
  group = _group(synthetic.record('opt', 0.1, 5, latency=2, scores=[0] * 10))
  speedup, quality, _ = estimates.numbers(group)['opt']
  for estimate in (speedup, quality):
    assert estimate.value is None
    assert estimate.reached == 0
    assert np.isnan(estimate.low)


def test_latency_varies_with_the_examples_timed():
  timed = [0.25, 0.5, 0.25, 1.0]
  group = [
    synthetic.record('verifier_alone', scores=SCORES, latency=[1.0] * 4),
    synthetic.record('opt', 0.1, 5, scores=SCORES, latency=timed),
  ]
  speedup, *_ = estimates.numbers(group)['opt']
  assert speedup.value == pytest.approx(2)
  assert 1 <= speedup.low < 1.5 < 2.5 < speedup.high <= 4


def test_examples_of_quality_and_timed_ones_are_drawn_apart():
  # As many of both: what is right is slow, but the draws do not know.
  record = synthetic.record(
    'opt', 0.1, 5, [1.0 + score for score in SCORES * 4], SCORES * 4
  )
  right_R, seconds_R = estimates.qualities(record), estimates.seconds(record)
  # Of independent ones the correlation is 0 ± 0.05 over 400 resamples.
  assert abs(np.corrcoef(right_R, seconds_R)[0, 1]) < 0.2


def test_latency_varies_with_the_trials():
  noisy = dict(seconds=[4.0, 6.0, 4.0, 6.0])
  group = [
    synthetic.record('verifier_alone', scores=SCORES, seconds=[10.0] * 4),
    synthetic.record('opt', 0.1, 5, 0.5, SCORES, **noisy),
  ]
  # Examples are alike: trials spread by sqrt(4 / 3), their mean of four by half
  # of that.
  seconds_R = estimates.seconds(group[1])
  assert seconds_R.mean() == pytest.approx(5, rel=0.02)
  assert seconds_R.std() == pytest.approx(3**-0.5, rel=0.1)
  speedup, *_ = estimates.numbers(group)['opt']
  assert speedup.value == pytest.approx(2)
  assert 1.6 < speedup.low < 1.8 < 2.3 < speedup.high < 2.7


def test_all_points_draw_the_same_trials():
  # Trials go in turns: what slows one slows all of that turn.
  trials = [1.0, 2.0, 1.0, 3.0]
  group = [
    synthetic.record('verifier_alone', scores=SCORES, seconds=trials),
    synthetic.record(
      'opt', 0.1, 5, 0.5, SCORES, seconds=[0.5 * x for x in trials]
    ),
  ]
  speedup, *_ = estimates.numbers(group)['opt']
  assert (speedup.low, speedup.high) == pytest.approx((2, 2))


@pytest.mark.parametrize(
  ('score', 'low', 'high'), [(1, 0.722, 1.0), (0, 0.0, 0.278)]
)
def test_equal_scores_are_no_certainty(score, low, high):
  # Wilson's interval of 10 of 10: 10 / (10 + 1.96²) to 1.
  records = [
    synthetic.record(rule, scores=[score] * 10)
    for rule in ('verifier_alone', 'opt')
  ]
  for _, quality, _ in estimates.numbers(records).values():
    assert quality.value == score
    assert (quality.low, quality.high) == pytest.approx((low, high), abs=5e-4)


def test_one_error_leaves_no_more_certainty_than_none():
  # Wilson's interval of 9 of 10, 0.596 to 0.982; resamples reach 0.7 to 1.
  record = synthetic.record('verifier_alone', scores=[1] * 9 + [0])
  _, quality, _ = estimates.numbers([record])['verifier_alone']
  assert quality.low == pytest.approx(0.596, abs=5e-4)
  assert quality.high == 1


def test_an_interval_that_is_wider_already_stays():
  # Too slow where the last example is drawn twice: another point is chosen.
  group = _group(synthetic.record('a', 0.1, 5, [0.85] * 9 + [2.0], [1] * 10))
  group += [synthetic.record('a', 0.2, 5, 0.5, [0] * 10)]
  _, quality, _ = estimates.numbers(group)['a']
  assert (quality.value, quality.high) == (1, 1)
  assert quality.low == 0


def test_other_metrics_have_no_such_bound():
  group = [synthetic.record('verifier_alone', scores=[1] * 10, metric='rouge2')]
  _, quality, _ = estimates.numbers(group)['verifier_alone']
  assert (quality.low, quality.high) == (1, 1)


@pytest.mark.parametrize('plan_changes_text', [False, True])
def test_plans_share_a_text_unless_they_change_it(plan_changes_text):
  make = lambda gamma, scores: synthetic.record(  # noqa: E731
    'a', 0.1, gamma, 0.5, scores, plan_changes_text=plan_changes_text
  )
  group = _group(make(3, [0] * 10), make(5, SCORES))
  speedup, *_ = estimates.numbers(group)['a']
  # Resamples of a shared text are computed once, from the first record.
  assert speedup.reached == (1 if plan_changes_text else 0)


def test_points_of_several_parameters_have_their_own_texts():
  make = lambda beta, scores: synthetic.record(  # noqa: E731
    'a', {'alpha': 0.1, 'beta': beta}, 5, 0.5, scores
  )
  group = _group(make(0.5, [0] * 10), make(2, SCORES))
  speedup, *_ = estimates.numbers(group)['a']
  assert (speedup.value, speedup.reached) == (2, 1)


def test_other_examples_are_refused():
  group = _group(synthetic.record('a', scores=[1, 1]))
  message = 'records with num_examples 2 and 10 do not compare'
  with pytest.raises(ValueError, match=message):
    estimates.numbers(group)


def test_the_verifier_is_needed():
  with pytest.raises(ValueError, match='no record of verifier_alone'):
    estimates.numbers([synthetic.record('opt', 0.1, 5)])
