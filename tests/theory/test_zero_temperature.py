"""The token rules at temperature 0, as a definition and as a limit.

Letters: B temperatures, T positions, V vocabulary.
"""

import numpy as np
import pytest

from tests.theory import cases

pytestmark = pytest.mark.usefixtures('float64')

TEMPERATURES = (1.0, 0.5, 0.25, 0.1, 0.02, 0.0)
SETTINGS = tuple((t, 1.0) for t in TEMPERATURES)
GREEDY = TEMPERATURES.index(0)
TOKEN_RULES = ('token_v1', 'token_v2', 'token_v3')


def _case(seed=0):
  case = cases.pairs(seed, SETTINGS)
  alpha = np.random.default_rng(seed).uniform(0, 1, (cases.B, cases.T))
  return case, np.broadcast_to(alpha[0], alpha.shape)


def _gap(raw_TxV):
  """How far the best logit is above the next."""
  next_best, best = np.sort(np.log(raw_TxV), -1)[:, -2:].T
  return best - next_best


def test_token_v3_takes_the_drafters_choice_if_the_verifier_allows_it():
  case, alpha = _case()
  q_raw, p_raw = (x[GREEDY] for x in case[2:])
  chosen, own = q_raw.argmax(-1), p_raw.argmax(-1)
  allowed = p_raw[np.arange(cases.T), chosen] >= (1 - alpha[0]) * p_raw.max(-1)
  pi = cases.target('token_v3', case, alpha)[GREEDY]
  np.testing.assert_array_equal(
    pi, np.eye(cases.V)[np.where(allowed, chosen, own)]
  )
  # Rejected if and only if not allowed: never at random.
  np.testing.assert_array_equal(
    cases.divergence(pi, case[0][GREEDY]), np.where(allowed, 0, 1)
  )
  # All that there is: the same choice, another allowed, another refused.
  assert (chosen == own).mean() > 0.1
  assert (allowed & (chosen != own)).mean() > 0.1
  assert (~allowed).mean() > 0.1


def test_token_v1_is_diff():
  case, alpha = _case()
  greedy, diff = (
    cases.target(name, case, alpha) for name in ('token_v1', 'diff')
  )
  np.testing.assert_array_equal(greedy[GREEDY], diff[GREEDY])
  assert np.abs(greedy[0] - diff[0]).max() > 0.1  # Not at temperature 1.


@pytest.mark.parametrize('name', TOKEN_RULES)
def test_temperature_0_is_the_limit(name):
  """TV(pi_T, pi_0) <= TV(q_T, q_0) + TV(p_T, p_0): a rule is a channel.

  A softmax at T leaves its best token with all but (V - 1) e^{-gap / T}.
  """
  case, alpha = _case()
  pi = cases.target(name, case, alpha)
  strayed = cases.divergence(pi, pi[GREEDY])
  gaps = [_gap(raw[GREEDY]) for raw in case[2:]]
  for temperature, row in zip(TEMPERATURES, strayed, strict=True):
    if temperature:
      bound = sum((cases.V - 1) * np.exp(-gap / temperature) for gap in gaps)
      # V terms of rounding in each of pi and of the sum.
      assert (row <= bound + 4 * cases.V * np.finfo(float).eps).all()
  # Gaps of half a nat at T = 0.02: 2 (V - 1) e^-25 = 2e-10.
  clear = np.minimum(*gaps) > 0.5
  at = TEMPERATURES.index(0.02)
  assert (strayed[at, clear] < 2e-10).all()
  assert clear.sum() > 50
  assert strayed[0, clear].mean() > 0.1  # Far from it at temperature 1.


@pytest.mark.parametrize('name', TOKEN_RULES)
def test_a_tie_is_no_limit(name):
  """Two best tokens share pi_T for every T > 0; temperature 0 takes one."""
  tied = np.tile([0, 0, *[-1.0] * (cases.V - 2)], (cases.T, 1))
  (q, q_raw), (p, p_raw) = (cases.sampled(tied, SETTINGS) for _ in 'qp')
  pi = cases.target(name, (q, p, q_raw, p_raw), 0.0)
  cold = pi[TEMPERATURES.index(0.02)]
  # The others share (V - 2) e^-50 = 1e-21, which no sum of doubles shows.
  np.testing.assert_array_equal(cases.divergence(cold, pi[GREEDY]), 0.5)
