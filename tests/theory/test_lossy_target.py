"""The target of lossy speculative decoding, and what its bias buys.

ROUNDING: sums of V probabilities are off by V eps or less, in the target, its
normalisation, and both again in what it is compared with.
"""

import numpy as np
import pytest

from speccascade import rules
from tests.theory import cases

pytestmark = pytest.mark.usefixtures('float64')

ALPHAS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95)
ROUNDING = 4 * cases.V * np.finfo(float).eps


def _target(name, case, alpha):
  """A lossy rule's pi; a beta that is given is 1."""
  beta = (1.0,) if name == 'lossy_beta' else ()
  return cases.target(name, case, alpha, *beta)


def _accepted(pi, q):
  """P(a drafted token is kept), by token; 1 where it is never drafted."""
  return np.minimum(1, np.divide(pi, q, where=q > 0, out=np.ones_like(q)))


def _lifted(pi, q, p, alpha):
  """Where pi is p / beta, and so above min{q, p / (1 - alpha)}."""
  return pi > np.minimum(q, p / (1 - alpha)) * (1 + 1e-9) + 1e-12


def _beta(pi, q, p, alpha):
  """(beta, whether pi tells it) at each position.

  The lifted tokens' share of p over their share of pi: where that is 1e-3 or
  more, beta is off by 1e3 ROUNDING of itself or less.
  """
  lifted = _lifted(pi, q, p, alpha)
  of_p, of_pi = (np.where(lifted, x, 0).sum(-1) for x in (p, pi))
  told = of_pi > 1e-3
  return np.divide(of_p, of_pi, where=told, out=np.ones_like(of_p)), told


@pytest.mark.parametrize('alpha', ALPHAS)
@pytest.mark.parametrize('name', ['lossy', 'lossy_beta'])
def test_a_draft_is_kept_with_the_published_probability(name, alpha):
  case = cases.pairs(0)
  q, p, *_ = case
  got = _accepted(_target(name, case, alpha), q)
  # A rounding of pi is one of pi / q in the ratio.
  np.testing.assert_array_less(
    np.abs(got - _accepted(p / (1 - alpha), q)) * q, ROUNDING
  )
  # As strict keeps it, or more often.
  assert (got * q >= _accepted(p, q) * q - ROUNDING).all()


@pytest.mark.parametrize('alpha', ALPHAS[1:])
def test_acceptance_and_residual_make_the_maximum(alpha):
  case = cases.pairs(1)
  q, p, *_ = case
  pi = cases.target('lossy', case, alpha)
  beta, told = _beta(pi, q, p, alpha)
  low = q * _accepted(p / (1 - alpha), q)
  excess = np.maximum(p / beta[..., None] - q, 0)[told]
  made = low[told] + (1 - low[told].sum(-1, keepdims=True)) * (
    excess / excess.sum(-1, keepdims=True)
  )
  maximum = np.maximum(low, p / beta[..., None])[told]
  bound = 1e3 * ROUNDING  # That of beta.
  np.testing.assert_allclose(maximum.sum(-1), 1, rtol=0, atol=bound)
  np.testing.assert_allclose(pi[told], maximum, rtol=0, atol=bound)
  np.testing.assert_allclose(made, maximum, rtol=0, atol=bound)
  assert told.sum() > cases.T
  # Where pi does not tell beta it is the minimum alone.
  np.testing.assert_allclose(pi[~told], low[~told], rtol=0, atol=1e-3)


def test_beta_grows_from_1_with_alpha():
  case = cases.pairs(2)
  q, p, *_ = case
  betas = []
  for alpha in ALPHAS:
    beta, told = _beta(cases.target('lossy', case, alpha), q, p, alpha)
    # No s below min q / p lifts a token above q: beta is at most max p / q.
    most = np.divide(p, q, where=q > 0, out=np.where(p > 0, np.inf, 0.0))
    bound = 1e3 * ROUNDING * beta
    assert (beta >= 1 - bound)[told].all()
    assert (beta <= most.max(-1) + bound)[told].all()
    betas.append(np.where(told, beta, np.nan))
  np.testing.assert_allclose(
    betas[0][~np.isnan(betas[0])], 1, rtol=0, atol=1e3 * ROUNDING
  )
  for before, after in zip(betas, betas[1:], strict=False):
    both = ~np.isnan(before) & ~np.isnan(after)
    assert both.any()
    assert (after >= before * (1 - 1e3 * ROUNDING))[both].all()
  assert np.nanmax(betas[-1]) > 3


@pytest.mark.parametrize('name', ['lossy', 'lossy_beta'])
def test_a_larger_alpha_strays_further_from_the_verifier(name):
  case = cases.pairs(3)
  q, p, *_ = case
  strayed = []
  for alpha in ALPHAS:
    pi = _target(name, case, alpha)
    assert (pi <= p / (1 - alpha) + ROUNDING).all()
    strayed.append(cases.divergence(pi, p))
    assert (strayed[-1] <= alpha / (1 - alpha) + ROUNDING).all()
  assert (np.diff(strayed, axis=0) >= -ROUNDING).all()
  assert strayed[-1][-1].mean() > 0.2  # At temperature 1.


@pytest.mark.parametrize('name', rules.RULES)
def test_a_rule_saves_no_more_rejections_than_it_strays(name):
  """D_TV(pi, q) + D_TV(pi, p) >= D_TV(p, q), and equal on a segment."""
  case = cases.pairs(4)
  q, p, *_ = case
  values = cases.values(name)
  if name == 'lossy_beta':
    values = values[0], 1.0
  pi = cases.target(name, case, *values)
  spent = cases.divergence(pi, q) + cases.divergence(pi, p)
  least = cases.divergence(p, q)
  assert (spent >= least - ROUNDING).all()
  if name in ('strict', 'drafter', 'lossy', 'lossy_beta', 'mixture'):
    np.testing.assert_allclose(spent, least, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize('alpha', ALPHAS)
def test_lossy_is_strict_at_temperature_0(alpha):
  case = cases.pairs(5)
  greedy = [row for row, (t, _) in enumerate(cases.SETTINGS) if t == 0]
  for name in ('lossy', 'lossy_beta'):
    pi = _target(name, case, alpha)[greedy]
    np.testing.assert_array_equal(pi, case[1][greedy])
