"""Controls: the verifier is truncated first, then followed losslessly.

A larger set of tokens is nearer to strict.
"""

import math

import jax.numpy as jnp

from speccascade.rules import base
from speccascade.sampling import probabilities


@base.takes(
  base.Parameter('alpha', 0, 1, open_low=True, examples=(0.3, 0.7, 1))
)
def top_p(q, p, q_raw, p_raw, alpha):
  """Pi = p on its fewest most probable tokens of mass alpha, normalised.

  Ties are included. Strict at 1. Source: Holtzman et al. 2020.
  """
  del q, q_raw, p_raw
  return probabilities.nucleus(*_spread(p, alpha))


@base.takes(base.Parameter('alpha', 1, math.inf, examples=(1, 2, 8)))
def top_k(q, p, q_raw, p_raw, alpha):
  """Pi = p on its alpha most probable tokens, ties included, normalised.

  Alpha: a number of tokens; strict at V. Source: Fan et al. 2018.
  """
  del q, q_raw, p_raw
  return probabilities.most_probable(*_spread(p, alpha))


@base.takes(base.Parameter('alpha', 0, 1, examples=(0.05, 0.3, 0.9)))
def min_p(q, p, q_raw, p_raw, alpha):
  """Pi = p where it is at least alpha max p, normalised.

  Strict at 0. Source: Nguyen et al. 2025.
  """
  del q, q_raw, p_raw
  kept = base.near_top(p, alpha)
  return probabilities.normalise(jnp.where(kept, p, 0))


def _spread(p, alpha):
  """P broadcast against alpha, and alpha over the last axis."""
  alpha = base.over(alpha)
  shape = jnp.broadcast_shapes(p.shape[:-1], alpha.shape[:-1])
  return jnp.broadcast_to(p, (*shape, p.shape[-1])), alpha
