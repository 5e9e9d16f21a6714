"""Bounds on losses, where the truth is known."""

import numpy as np
import pytest

from speccascade.reports.stats import promise
from speccascade.tasks import metrics
from tests.reports import synthetic

pytestmark = pytest.mark.bounds
ALL = np.arange


def _group(*scores_KxN, **changes):
  """The verifier's scores, strict's, then those of rules."""
  names = ['verifier_alone', 'strict', *(['opt'] * (len(scores_KxN) - 2))]
  records = [
    synthetic.record(
      name,
      None if n < 2 else float(n),
      None if n == 0 else 5,
      1.0 / (n + 1),
      [1],
      example_statistics=[[float(x), 1] for x in scores],
      **changes,
    )
    for n, (name, scores) in enumerate(zip(names, scores_KxN, strict=True))
  ]
  return promise.group(records, records[0])


@pytest.mark.parametrize('n', [50, 200, 1000])
def test_without_a_difference_the_bound_is_about_the_rule_of_three(n):
  right = np.ones(n)
  own = _group(right, right, right)
  bounds = promise.bounds(own, ALL(n), 10**9)
  assert bounds.loss_K.tolist() == [0, 0, 0]
  # Nothing to come errs; of one rule, -ln(0.05) = 3.0, and 1 / n was added.
  assert 2 / n < bounds.most_K[2] < 4.5 / n
  as_many = promise.bounds(own, ALL(n), n).most_K[2]
  assert bounds.most_K[2] < as_many < 2 * bounds.most_K[2]


def test_two_pooled_samples_leave_as_little_unseen():
  right = np.ones(200)
  one, two = _group(right, right, right), _group(right, right, right)
  two.statistics_KxNxS[:2] *= 2  # Of the verifier and strict.
  a, b = (promise.bounds(own, ALL(200), 200).most_K[2] for own in (one, two))
  assert b == pytest.approx(a)


def test_only_the_verifier_has_lossless_methods():
  """A point that stands in for it is compared with, strict as well."""
  rng = np.random.default_rng(0)
  own = _group(*(rng.random((3, 300)) < 0.5))
  beside = promise.group(own.records, own.records[2])
  assert beside.lossless_K.tolist() == [False] * 3
  bounds = promise.bounds(beside, ALL(300))
  assert bounds.loss_K[2] == 0
  assert min(bounds.most_K[:2]) > max(bounds.loss_K[:2]) > 0.01


def test_what_is_lossless_loses_nothing():
  rng = np.random.default_rng(0)
  own = _group(*(rng.random((3, 300)) < 0.5))
  bounds = promise.bounds(own, ALL(300), 300)
  assert bounds.most_K[:2].tolist() == [0, 0]
  assert bounds.most_K[2] > 0.05
  assert bounds.needed(1, 0.0) == np.inf
  assert bounds.needed(1, 0.01) < np.inf


def test_equal_texts_are_one_point():
  records = [
    synthetic.record('verifier_alone', scores=[1, 0, 1]),
    *(
      synthetic.record('opt', 0.1, gamma, scores=[1, 0, 0]) for gamma in (3, 5)
    ),
    synthetic.record('opt', 0.2, 5, scores=[0, 0, 0]),
  ]
  own = promise.group(records, records[0])
  assert [own.index(r) for r in records] == [0, 1, 1, 2]
  assert promise.loss(own, ALL(3)).tolist() == [0, 0.5, 1]
  assert promise.loss(own, ALL(1)).tolist() == [0, 0, 1]


def _world(rng, n, losses):
  """Scores of a verifier that is right at 70 %, and of lossier rules."""
  verifier = rng.random(n) < 0.7
  found = [verifier, verifier]
  for loss in losses:
    lost = verifier & (rng.random(n) < loss + 0.1)
    won = ~verifier & (rng.random(n) < 0.1 * 0.7 / 0.3)
    found.append((verifier & ~lost) | won)
  return found


@pytest.mark.parametrize(
  'allowed', [0.02, pytest.param(0.05, marks=pytest.mark.thorough)]
)
def test_a_promise_holds_elsewhere_though_the_fastest_of_many_is_chosen(
  allowed,
):
  """Where the choice by the measured loss breaks most promises."""
  rng, n = np.random.default_rng(1), 1000
  losses = np.linspace(-0.06, 0.08, 15)  # The lossier, the faster.
  held, naive, named = [], [], 0
  for _ in range(40):
    own = _group(*_world(rng, 2 * n, losses))
    bounds = promise.bounds(own, ALL(n), n)
    there_K = promise.loss(own, ALL(n, 2 * n))
    chosen = np.flatnonzero(bounds.most_K <= allowed)[-1]
    named += chosen > 1
    held.append(chosen < 2 or there_K[chosen] <= allowed)
    naive.append(
      there_K[np.flatnonzero(bounds.loss_K <= allowed)[-1]] <= allowed
    )
  assert np.mean(held) >= 0.9
  assert named > 30  # It is no empty promise.
  assert np.mean(naive) < 0.7


def test_the_number_of_examples_that_is_needed():
  rng = np.random.default_rng(2)
  own = _group(*_world(rng, 1000, [0.01]))
  bounds = promise.bounds(own, ALL(500), 500)
  number = bounds.needed(2, 0.08)
  assert 100 < number < 10_000
  # The bound of so many, of the same share of losses, is what is allowed.
  rows = np.resize(ALL(500), int(number))
  assert promise.bounds(own, rows, len(rows)).most_K[2] == pytest.approx(
    0.08, rel=0.1
  )
  assert bounds.needed(2, bounds.loss_K[2] - 0.001) == np.inf


@pytest.mark.parametrize(('n', 'rules'), [(20, 1), (150, 1), (150, 40)])
def test_more_are_needed_than_there_are_where_none_can_be_promised(n, rules):
  """Without a difference, where the bound falls as 1 / n."""
  right = np.ones(n)
  own = _group(right, right, *[right] * rules)
  bounds = promise.bounds(own, ALL(n), n)
  assert bounds.most_K[2] > 0.02
  number = bounds.needed(2, 0.02)
  assert number > n
  rows = np.resize(ALL(n), int(number))
  # The example that was not seen is drawn 4 or 5 times at the bound, of 3.
  most = promise.bounds(own, rows, len(rows)).most_K[2]
  assert most == pytest.approx(0.02, rel=0.4)
  # Where they can be, no more are needed than there are.
  allowed = 1.01 * bounds.most_K[2]
  assert bounds.needed(2, allowed) <= n * 1.02


def test_a_verifier_that_is_never_right():
  own = _group(np.zeros(20), np.zeros(20), np.ones(20), np.zeros(20))
  assert promise.loss(own, ALL(20)).tolist() == [0, 0, -np.inf, 0]


def test_bleu_of_many_corpora_is_that_of_each():
  metric, rng = metrics.get('bleu'), np.random.default_rng(0)
  possible = rng.integers(1, 30, (40, 5, 4))
  matched = rng.integers(0, possible + 1)
  matched[:10] = 0  # Smoothed.
  lengths = rng.integers(0, 40, (40, 5, 2))
  sums = np.concatenate([lengths, matched, possible], -1).astype(float)
  want = [[metric.value(x) for x in row] for row in sums]
  np.testing.assert_allclose(metric.values(sums), want, rtol=1e-9)


@pytest.mark.parametrize('name', ['bleu', 'exact_match', 'rouge2'])
def test_the_best_and_worst_of_an_example(name):
  metric = metrics.get(name)
  texts = ('a b c d e', ('a b x d e f',))
  reference = texts[1][0] if metric.binary else texts[1]
  own = np.array(metric.statistics(texts[0], reference), float)
  worst, best = metric.worst(own), metric.best(own)
  one = metric.value(
    metric.statistics(
      'a b c d e', ('a b c d e',) if not metric.binary else 'a b c d e'
    )
  )
  assert metric.value(worst) < 0.2 * one
  assert metric.value(best) == pytest.approx(one)
