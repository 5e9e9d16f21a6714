"""opt against every other way to keep or defer, by enumeration.

Letters: B settings, C cases of N positions, R = 2^N ways to decide, V
vocabulary.
"""

import itertools

import numpy as np
import pytest

from tests.theory import cases

pytestmark = pytest.mark.usefixtures('float64')

N = 8
C = cases.T // N
WAYS_RxN = np.array(list(itertools.product((0, 1), repeat=N)))
# A total adds N terms of at most 1 + alpha <= 3: N roundings of at most
# 3 N eps / 2 each, in either of two totals.
ROUNDING = 3 * N**2 * np.finfo(float).eps


def _positions(seed):
  """A case's distributions, one alpha a case, and its costs BxCxN."""
  case = cases.pairs(seed)
  q, p, q_raw, p_raw = case
  alpha_BxCx1 = np.random.default_rng(seed).uniform(0, 2, (cases.B, C, 1))
  shape = (cases.B, C, N)
  keep = (1 - q_raw.max(-1)).reshape(shape)
  defer = (1 - p_raw.max(-1)).reshape(shape)
  rejected = cases.divergence(p, q).reshape(shape)
  return case, alpha_BxCx1, keep, defer, rejected


def _deferred(name, case, alpha_BxCx1, keep, defer):
  """BxCxN: where the rule defers."""
  q, p, *_ = case
  alpha = np.broadcast_to(alpha_BxCx1, keep.shape).reshape(q.shape[:-1])
  deferred = (cases.target(name, case, alpha) != q).any(-1)
  # Where q = p both decisions emit the same: count it as the cheaper.
  same = (q == p).all(-1).reshape(keep.shape)
  return np.where(same, keep > defer, deferred.reshape(keep.shape))


def _all_ways(keep, defer):
  """BxCxR: what every way costs."""
  return keep @ (1 - WAYS_RxN).T + defer @ WAYS_RxN.T


def _one_way(keep, defer, deferred):
  """BxC: what this one costs."""
  return np.where(deferred, defer, keep).sum(-1)


@pytest.mark.parametrize('seed', range(3))
def test_opt_minimises_its_objective(seed):
  case, alpha, keep, defer, rejected = _positions(seed)
  costs = keep, defer + alpha * rejected
  best = _all_ways(*costs).min(-1)
  deferred = _deferred('opt', case, alpha, keep, defer)
  np.testing.assert_allclose(
    _one_way(*costs, deferred), best, rtol=0, atol=ROUNDING
  )
  # It defers at times, and no other rule does as well.
  assert 0.1 < deferred.mean() < 0.9
  for name in ('chow', 'diff'):
    other = _deferred(name, case, np.minimum(alpha, 1), keep, defer)
    assert (_one_way(*costs, other) - best).mean() > 0.01


@pytest.mark.parametrize('seed', range(3))
def test_no_rule_of_as_many_rejections_has_a_lower_loss(seed):
  """The constrained form: alpha is the multiplier of opt's own budget."""
  case, alpha, keep, defer, rejected = _positions(seed)
  deferred = _deferred('opt', case, alpha, keep, defer)
  loss, rejections = _all_ways(keep, defer), _all_ways(0 * keep, rejected)
  budget = _one_way(0 * keep, rejected, deferred)
  affordable = rejections <= budget[..., None] + ROUNDING
  best = np.where(affordable, loss, np.inf).min(-1)
  # Those past the budget by its rounding may save alpha <= 2 times as much.
  np.testing.assert_allclose(
    _one_way(keep, defer, deferred), best, rtol=0, atol=3 * ROUNDING
  )
  # The budget binds, and leaves a choice.
  assert np.mean(best > loss.min(-1) + 1e-3) > 0.25
  assert np.median(affordable.sum(-1)) > 2


def test_another_alpha_does_not_minimise_the_objective():
  case, alpha, keep, defer, rejected = _positions(0)
  costs = keep, defer + alpha * rejected
  for wrong in (alpha / 2, alpha * 2, -alpha):
    deferred = _deferred('opt', case, wrong, keep, defer)
    excess = _one_way(*costs, deferred) - _all_ways(*costs).min(-1)
    assert excess.mean() > 0.01
