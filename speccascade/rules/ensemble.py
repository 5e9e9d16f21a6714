"""Rules that combine both distributions into a third."""

import math

import jax.numpy as jnp

from speccascade.rules import base
from speccascade.sampling import probabilities


@base.takes(base.Parameter('alpha', 0, 1, examples=(0.1, 0.35, 0.9)))
def mixture(q, p, q_raw, p_raw, alpha):
  """Pi = (1 - alpha) p + alpha q.

  Strict at 0, the drafter at 1. It is rejected at (1 - alpha) D_TV(p, q).
  Source: a linear ensemble of both models; Fu et al. 2025, "Speculative
  Ensemble" (arXiv 2502.01662).
  """
  del q_raw, p_raw
  return (1 - base.over(alpha)) * p + base.over(alpha) * q


@base.takes(
  base.Parameter('alpha', 0, 1, open_low=True, examples=(0.05, 0.2, 0.8)),
  base.Parameter('beta', 0, math.inf, examples=(0, 0.4, 2)),
)
def contrastive(q, p, q_raw, p_raw, alpha, beta):
  """Pi(v) ~ p_raw(v) (p_raw(v) / q_raw(v))^beta on the plausible tokens.

  Those are {v: p_raw(v) >= alpha max p_raw}. A larger beta favours what the
  verifier finds more probable than the drafter does; at beta 0 it is min_p of
  p_raw. Temperature, top-k and top-p do not touch it. Source: Yuan et al.
  2023, "Speculative Contrastive Decoding" (arXiv 2311.08981).
  """
  del q, p
  plausible = base.near_top(p_raw, alpha)
  tiny = jnp.finfo(p_raw.dtype).tiny  # A drafter's 0 is not quite impossible.
  log_p, log_q = (jnp.log(jnp.maximum(x, tiny)) for x in (p_raw, q_raw))
  favour = log_p - log_q
  # Less that of the most favoured, so that no beta makes it infinite.
  favour -= jnp.where(plausible, favour, -jnp.inf).max(-1, keepdims=True)
  score = jnp.where(plausible, log_p + base.over(beta) * favour, 0)
  best = jnp.where(plausible, score, -jnp.inf).max(-1, keepdims=True)
  weight = jnp.where(plausible, jnp.exp(score - best), 0)
  return probabilities.normalise(weight)
