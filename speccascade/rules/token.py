"""Rules that keep the drafter's mass on a set A of tokens.

pi(v) = q(v) 1[v in A] + p(v) (1 - q(A)). A larger A need not mean fewer
rejections: the mass q has outside A is spread as p over all tokens, those of A
included. Differences are compared with alpha, since they are exact near 0 where
1 - alpha would be rounded.
"""

import math

import jax.numpy as jnp

from speccascade.rules import base


@base.takes(base.Parameter('alpha', -1, 1, examples=(-0.1, 0.25, 0.6)))
def token_v1(q, p, q_raw, p_raw, alpha):
  """A = {v: q_raw(v) >= max p_raw - alpha}.

  Strict at -1 (A is empty), the drafter at 1; not strict at 0. Source:
  equation 13.
  """
  return base.mix(base.top(p_raw) - q_raw <= base.over(alpha), q, p)


@base.takes(base.Parameter('alpha', -1, 1, examples=(0, 0.2, 0.8)))
def token_v2(q, p, q_raw, p_raw, alpha):
  """A = {v: p_raw(v) >= max p_raw - alpha}.

  Strict below 0 (A is empty), the drafter at 1; at 0, A is the verifier's most
  probable token, which is not strict. Source: equation 14.
  """
  del q_raw
  return base.mix(base.top(p_raw) - p_raw <= _reach(alpha, p_raw), q, p)


@base.takes(base.Parameter('alpha', -1, 1, examples=(0, 0.5, 0.9)))
def token_v3(q, p, q_raw, p_raw, alpha):
  """A = {v: p_raw(v) >= (1 - alpha) max p_raw}.

  Strict below 0 (A is empty), the drafter at 1; at 0, A is the verifier's most
  probable token, which is not strict. Source: equation 15.
  """
  del q_raw
  top = base.top(p_raw)
  return base.mix((top - p_raw) / top <= _reach(alpha, p_raw), q, p)


@base.takes(base.Parameter('alpha', 0, 1, examples=(0.1, 0.8, 1)))
def typical(q, p, q_raw, p_raw, alpha):
  """A = {v: p(v) > min(eps, sqrt(eps) exp(-H(p)))}, eps = 1 - alpha.

  Medusa's default of eps = 0.09 is alpha = 0.91. Strict for no alpha in
  general; at temperature 0 strict for all, since A is then the verifier's
  choice. Source: Cai et al. 2024, "Medusa", section 2.3.1, in token form.
  """
  del q_raw, p_raw
  eps = 1 - base.over(alpha)
  log_p = jnp.log(jnp.where(p > 0, p, 1))
  entropy = -jnp.where(p > 0, p * log_p, 0).sum(-1, keepdims=True)
  in_a = p > jnp.minimum(eps, jnp.sqrt(eps) * jnp.exp(-entropy))
  return base.mix(in_a, q, p)


@base.takes(base.Parameter('alpha', 0, math.inf, examples=(0, 1.2, 3)))
def bild(q, p, q_raw, p_raw, alpha):
  """A = {v: -log p_raw(v) <= alpha}: BiLD*.

  Alpha: cross-entropy in nats that the verifier may have on a drafted token;
  the drafter alone as it grows; strict for none in general. Source: Kim et al.
  2023, in the paper's sampling; `methods.rollback` has theirs.
  """
  del q_raw
  return base.mix(p_raw >= jnp.exp(-base.over(alpha)), q, p)


def _reach(alpha, p):
  """How far below the maximum A goes: from 0 on, no less than rounding does."""
  alpha = base.over(alpha)
  return jnp.where(alpha >= 0, jnp.maximum(alpha, base.rounding(p)), alpha)
