"""What the token rules have in common, and how v2 and v3 are related.

Letters: B settings, T positions, V vocabulary.
"""

import numpy as np
import pytest

from tests.theory import cases

pytestmark = pytest.mark.usefixtures('float64')

# Sums of V products of probabilities, twice.
ROUNDING = 2 * cases.V * np.finfo(float).eps
TOKEN_RULES = ('token_v1', 'token_v2', 'token_v3')


def _kept(name, q_raw, p_raw, alpha):
  """BxTxV: the set A, seen against a verifier that samples elsewhere.

  q is uniform on the first half of 2 V tokens, p one token of the second:
  what pi has in the first half is q on A.
  """
  V = q_raw.shape[-1]
  q = np.broadcast_to(np.repeat([1 / V, 0], V), (*q_raw.shape[:-1], 2 * V))
  p = np.broadcast_to(np.eye(2 * V)[V], q.shape)
  none = np.full_like(q_raw, -1)  # In no A of alpha <= 1.
  wide = [np.concatenate([x, none], -1) for x in (q_raw, p_raw)]
  return cases.target(name, (q, p, *wide), alpha)[..., :V] > 0


def _alpha(seed):
  return np.random.default_rng(seed).uniform(0, 1, (cases.B, cases.T))


@pytest.mark.parametrize('name', TOKEN_RULES)
def test_pi_is_q_on_a_and_the_rest_of_q_spread_as_p(name):
  """As a channel: x ~ q stays if it is in A, and is drawn from p if not."""
  case, alpha = cases.pairs(0), _alpha(0)
  q, p, q_raw, p_raw = case
  in_a = _kept(name, q_raw, p_raw, alpha)
  channel_BxTxVxV = np.where(in_a[..., None], np.eye(cases.V), p[..., None, :])
  pi = cases.target(name, case, alpha)
  np.testing.assert_allclose(
    pi, np.einsum('btx,btxy->bty', q, channel_BxTxVxV), rtol=0, atol=ROUNDING
  )
  share = in_a.mean()
  assert 0.1 < share < 0.9


@pytest.mark.parametrize('name', TOKEN_RULES)
def test_rejections_are_those_of_the_channel_less_what_p_gives_back(name):
  """D_TV(pi, q) = q(not A) - sum over v not in A of min{q, p q(not A)}."""
  case, alpha = cases.pairs(1), _alpha(1)
  q, p, q_raw, p_raw = case
  outside = ~_kept(name, q_raw, p_raw, alpha)
  refused = np.where(outside, q, 0).sum(-1)
  back = np.minimum(q, p * refused[..., None]) * outside
  rejected = cases.divergence(cases.target(name, case, alpha), q)
  np.testing.assert_allclose(
    rejected, refused - back.sum(-1), rtol=0, atol=ROUNDING
  )
  assert (back.sum(-1)[-1] > 0.05).mean() > 0.05  # At temperature 1.


def test_kept_sets_by_their_definitions():
  _, _, q_raw, p_raw = cases.pairs(2)
  alpha = _alpha(2)
  over, top = alpha[..., None], p_raw.max(-1, keepdims=True)
  for name, in_a in {
    'token_v1': q_raw - top >= -over,
    'token_v2': top - p_raw <= over,
    'token_v3': p_raw / top >= 1 - over,
  }.items():
    np.testing.assert_array_equal(_kept(name, q_raw, p_raw, alpha), in_a)


def test_token_v2_is_token_v3_at_a_smaller_alpha():
  """alpha_2 = alpha_3 max p_raw. No token of these lies on the threshold."""
  case, alpha = cases.pairs(3), _alpha(3)
  scaled = alpha * case[3].max(-1)
  np.testing.assert_array_equal(
    cases.target('token_v2', case, scaled),
    cases.target('token_v3', case, alpha),
  )
  # At one alpha for both, v2 keeps what v3 does, and more.
  v2, v3 = (_kept(name, *case[2:], alpha) for name in ('token_v2', 'token_v3'))
  assert (v2 >= v3).all()
  assert (v2 > v3).mean() > 0.1


def test_token_v3_keeps_what_min_p_keeps():
  case, alpha = cases.pairs(4), _alpha(4)
  _, _, q_raw, p_raw = case
  min_p = cases.target('min_p', (q_raw, p_raw, q_raw, p_raw), 1 - alpha)
  np.testing.assert_array_equal(
    _kept('token_v3', q_raw, p_raw, alpha), min_p > 0
  )


def test_token_v3_is_a_bound_on_the_verifiers_logit_gap():
  """A = {v: max logit - logit(v) <= -log(1 - alpha)}, whatever the rest.

  So A stays as it is when p_raw is scaled, as by a token added to all; that
  of v2 does not.
  """
  _, _, q_raw, p_raw = cases.pairs(5)
  alpha = _alpha(5)
  logits = np.log(p_raw)
  gap = logits.max(-1, keepdims=True) - logits
  in_a = _kept('token_v3', q_raw, p_raw, alpha)
  np.testing.assert_array_equal(in_a, gap <= -np.log1p(-alpha)[..., None])
  np.testing.assert_array_equal(
    in_a, _kept('token_v3', q_raw, 0.3 * p_raw, alpha)
  )
  v2, v2_scaled = (_kept('token_v2', q_raw, s * p_raw, alpha) for s in (1, 0.3))
  assert (v2 != v2_scaled).mean() > 0.1
