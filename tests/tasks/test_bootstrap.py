"""Tests of the bootstrap."""

import math

import numpy as np
import pytest

from speccascade.tasks import bootstrap, metrics

_RNG = np.random.default_rng(0)
_A_N = _RNG.poisson(3.0, 300)
_B_N = _RNG.poisson(20.0, 300) + 1


def test_resamples_draw_with_replacement():
  index_RxN = bootstrap.resamples(4, 50)
  assert index_RxN.shape == (50, 4)
  assert set(index_RxN.ravel()) == {0, 1, 2, 3}
  assert any(len(set(row)) < 4 for row in index_RxN)
  np.testing.assert_array_equal(index_RxN, bootstrap.resamples(4, 50))
  other_RxN = bootstrap.resamples(4, 50, seed=1)
  assert (index_RxN != other_RxN).any()
  assert bootstrap.resamples(3).shape == (bootstrap.RESAMPLES, 3)


def test_the_interval_of_95_percent():
  low, high = bootstrap.interval(np.arange(1001))
  assert (low, high) == (25, 975)


def test_counts_draw_any_number():
  count_RxN = bootstrap.counts(5, 20, seed=3)
  assert count_RxN.shape == (bootstrap.RESAMPLES, 5)
  assert set(count_RxN.sum(1)) == {20}
  assert count_RxN.mean() == 4
  assert count_RxN.var() == pytest.approx(20 * 0.2 * 0.8, rel=0.1)
  np.testing.assert_array_equal(count_RxN, bootstrap.counts(5, 20, seed=3))
  assert (count_RxN != bootstrap.counts(5, 20, seed=4)).any()


def test_the_error_of_a_ratio_is_that_of_the_delta_method():
  value, error = bootstrap.ratio(_A_N, _B_N)
  assert value == pytest.approx(_A_N.sum() / _B_N.sum())
  # Cochran 1977, section 6.3.
  square = ((_A_N - value * _B_N) ** 2).sum() * 300 / 299
  # Known to 1 / sqrt(800), 3.5%, from 400 resamples.
  expected = math.sqrt(square) / _B_N.sum()
  assert error == pytest.approx(expected, rel=4 * 0.035)
  many = bootstrap.resamples(300, 20_000)
  _, error = bootstrap.ratio(_A_N, _B_N, many)
  assert error == pytest.approx(expected, rel=4 * 0.005)


def test_the_error_of_a_ratio_is_paired():
  # Examples that are twice as long have twice as many rejections.
  value, error = bootstrap.ratio(0.25 * _B_N, _B_N)
  assert (value, error) == pytest.approx((0.25, 0), abs=1e-12)


def test_a_ratio_is_over_the_resamples_that_are_given():
  value, error = bootstrap.ratio([1, 3], [1, 1], np.array([[0, 0], [1, 1]]))
  assert (value, error) == (2, 1)
  # A resample in which b is nowhere has no ratio.
  resamples_3x2 = np.array([[0, 0], [1, 1], [2, 2]])
  value, error = bootstrap.ratio([0, 3, 5], [0, 1, 1], resamples_3x2)
  assert (value, error) == (4, 1)


def test_one_example_has_no_error():
  value, error = bootstrap.ratio([3], [4])
  assert value == 0.75
  assert math.isnan(error)


@pytest.mark.parametrize(
  ('a', 'b', 'message'),
  [
    ([0, 1], [0, 0], 'the sum of b must be positive, got 0'),
    ([0, 1], [1], r'a has shape \(2,\) but b has \(1,\)'),
  ],
)
def test_a_ratio_that_is_not_defined_is_an_error(a, b, message):
  with pytest.raises(ValueError, match=message):
    bootstrap.ratio(a, b)


def test_qualities_are_those_of_the_rows_drawn():
  outputs = ['a b c d e f', 'a b c d x f', 'a b', 'f e d c b a']
  references = [('a b c d e f',), ('a b c d e f',), ('a b c',), ('a b c d',)]
  index_RxN = bootstrap.resamples(4, 50)
  for name in ('bleu', 'rouge2'):
    metric = metrics.get(name)
    statistics_NxK = list(map(metric.statistics, outputs, references))
    expected_R = [
      metrics.quality(name, [statistics_NxK[i] for i in row])
      for row in index_RxN
    ]
    got_R = bootstrap.qualities(name, statistics_NxK, index_RxN)
    np.testing.assert_allclose(got_R, expected_R, atol=1e-9)


def test_standard_error_of_a_quality():
  statistics_NxK = [[score, 1] for score in [1, 0, 0, 1, 1, 0, 1, 0] * 8]
  got = bootstrap.standard_error('exact_match', statistics_NxK)
  # sqrt(0.25 / 64), known to sqrt(1 / 800) from 400 resamples.
  assert got == pytest.approx(0.0625, rel=4 / 800**0.5)
