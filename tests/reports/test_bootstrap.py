import numpy as np
import pytest

from speccascade.reports import bootstrap
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
  speedup, quality = bootstrap.numbers(group)['opt']
  assert speedup == (2.0, 2.0, 2.0, 1.0)
  assert quality.value == 0.8
  # The standard error of a mean of ten such scores is 0.126.
  assert 0.45 < quality.low < 0.65 < 0.9 < quality.high <= 1
  assert quality.reached == 1


def test_a_point_that_is_a_little_worse_is_reached_in_some_resamples():
  worse = [1, 1, 1, 0, 1, 0, 1, 1, 1, 0]
  group = _group(synthetic.record('opt', 0.1, 5, latency=0.5, scores=worse))
  speedup, _ = bootstrap.numbers(group)['opt']
  assert speedup.value is None
  # Reached where the tenth example is not drawn: 0.9 ** 10 = 0.349, with a
  # standard error of 0.024 over 400 resamples.
  assert speedup.reached == pytest.approx(0.349, abs=4 * 0.024)
  assert (speedup.low, speedup.high) == (2, 2)


def test_a_rule_that_never_reaches_it():
  group = _group(synthetic.record('opt', 0.1, 5, latency=2, scores=[0] * 10))
  speedup, quality = bootstrap.numbers(group)['opt']
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
  speedup, _ = bootstrap.numbers(group)['opt']
  assert speedup.value == pytest.approx(2)
  assert 1 <= speedup.low < 1.5 < 2.5 < speedup.high <= 4


def test_the_verifier_is_needed():
  with pytest.raises(ValueError, match='no record of the verifier alone'):
    bootstrap.numbers([synthetic.record('opt', 0.1, 5)])
