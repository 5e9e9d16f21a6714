"""The plug-in rule against the oracle, in contexts of known truth.

A loss is at most 1 + alpha <= 2 and three roundings old.
"""

import numpy as np
import pytest

from speccascade.sampling import probabilities
from tests.theory import oracle

pytestmark = pytest.mark.usefixtures('float64')

ROUNDING = 3 * 2 * np.finfo(float).eps
TEMPERATURES = (0.0, 0.5, 1.0)


@pytest.mark.parametrize('temperature', TEMPERATURES)
@pytest.mark.parametrize('alpha', oracle.ALPHAS)
def test_no_rule_beats_the_oracle(alpha, temperature):
  w = oracle.world(0.0, temperature)
  least = oracle.oracle_loss(w, alpha)
  for costs in oracle.costs(w, alpha):  # The drafter's, the verifier's.
    assert (least <= costs).all()
  for name, threshold_Kx1 in oracle.THRESHOLDS_Kx1.items():
    every = oracle.loss(w, alpha, name, threshold_Kx1)
    assert (least <= every).all()
    assert every.mean(-1).min() > least.mean() + 0.005  # Short of it, too.


@pytest.mark.parametrize('temperature', TEMPERATURES)
@pytest.mark.parametrize('alpha', oracle.ALPHAS)
def test_the_oracle_defers_by_its_definition(alpha, temperature):
  """Where E[1(y != argmax q)] > E[1(y != argmax p)] + alpha D_TV(p, q)."""
  w = oracle.world(0.0, temperature)
  mistaken = [
    (w.truth * (1 - np.eye(oracle.V)[x.argmax(-1)])).sum(-1)
    for x in (w.q_raw, w.p_raw)
  ]
  deferring = mistaken[1] + alpha * probabilities.total_variation(w.p, w.q)
  expected = np.where(mistaken[0] > deferring, deferring, mistaken[0])
  np.testing.assert_allclose(
    oracle.oracle_loss(w, alpha),
    expected,
    rtol=0,
    atol=oracle.V * ROUNDING,  # Sums of V.
  )


@pytest.mark.parametrize('temperature', TEMPERATURES)
@pytest.mark.parametrize('calibration', oracle.CALIBRATIONS)
def test_the_regret_is_within_the_bound(calibration, temperature):
  """opt errs only where a wrong confidence makes it, by as much at most."""
  w = oracle.world(calibration, temperature)
  bound = oracle.deviation(w)
  # Each confidence is off by its own share of what it was.
  np.testing.assert_allclose(
    bound,
    (1 - calibration) * oracle.deviation(oracle.world(0.0, temperature)),
    rtol=0,
    atol=ROUNDING,
  )
  for alpha in oracle.ALPHAS:
    regret = oracle.loss(w, alpha, 'opt') - oracle.oracle_loss(w, alpha)
    assert (regret <= bound + ROUNDING).all()


@pytest.mark.parametrize('alpha', oracle.ALPHAS)
def test_the_regret_vanishes_as_confidence_becomes_true(alpha):
  regrets = []
  for calibration in oracle.CALIBRATIONS:
    w = oracle.world(calibration)
    losses = oracle.loss(w, alpha, 'opt') - oracle.oracle_loss(w, alpha)
    regrets.append(losses.mean())
  assert regrets[0] > 0.01
  assert regrets[-2] < 1e-3
  assert abs(regrets[-1]) <= ROUNDING
  # Not because the models become alike, or one of them always right.
  w = oracle.world(1.0)
  keep, defer = oracle.costs(w, alpha)
  assert np.mean(probabilities.total_variation(w.p, w.q)) > 0.2
  assert 0.1 < (keep > defer).mean() < 0.9
