"""Lossy speculative decoding: drafts are accepted by a looser ratio."""

import math

import jax
import jax.numpy as jnp

from speccascade.rules import base
from speccascade.sampling import probabilities

_LENIENCE = base.Parameter(
  'alpha', 0, 1, open_high=True, examples=(0, 0.3, 0.9)
)


@base.takes(_LENIENCE)
def lossy(q, p, q_raw, p_raw, alpha):
  """Pi = max{min{q, p / (1 - alpha)}, p / beta}, beta such that pi sums to 1.

  A drafted token is accepted although it is up to 1 / (1 - alpha) times more
  probable than the verifier says; strict at 0. Source: Table 1; Tran-Thien
  2023.
  """
  del q_raw, p_raw
  low = jnp.minimum(q, p / (1 - base.over(alpha)))

  # f(s) = sum max(low, s p) is convex, piecewise linear and at least 1 at
  # s = 1 / beta = 1: Newton's method from there falls to the root and reaches
  # it exactly after finitely many pieces.
  def step(carry):
    s, _ = carry
    above = s[..., None] * p > low
    slope = jnp.where(above, p, 0).sum(-1)
    rest = jnp.where(above, 0, low).sum(-1)
    better = (1 - rest) / jnp.where(slope > 0, slope, 1)
    better = jnp.where(slope > 0, jnp.clip(better, 0, s), s)
    return better, jnp.any(better < s)

  s = jnp.ones_like(p[..., 0] + q[..., 0] + alpha)
  s, _ = jax.lax.while_loop(lambda c: c[1], step, step((s, True)))
  return probabilities.normalise(jnp.maximum(low, s[..., None] * p))


@base.takes(
  _LENIENCE,
  base.Parameter('beta', 0, math.inf, open_low=True, examples=(0.5, 0.5, 2)),
)
def lossy_beta(q, p, q_raw, p_raw, alpha, beta):
  """Pi = min{q, p / (1 - alpha)} + (missing mass) norm(max(0, p / beta - q)).

  Lossy with a beta that is given: a rejected token is drawn from p / beta less
  q. Strict at alpha 0 and beta 1. Source: Table 1; beta = 1 is Leviathan et
  al. 2023, appendix A.5.
  """
  del q_raw, p_raw
  low = jnp.minimum(q, p / (1 - base.over(alpha)))
  excess = jnp.maximum(p / base.over(beta) - q, 0)
  total = excess.sum(-1, keepdims=True)
  share = jnp.where(total > 0, excess / jnp.where(total > 0, total, 1), p)
  return low + jnp.maximum(1 - low.sum(-1, keepdims=True), 0) * share
