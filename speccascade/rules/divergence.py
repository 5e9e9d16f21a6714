"""Fuzzy speculative decoding: the drafter is followed where both models agree.

pi = q where D(q_raw, p_raw) <= tau, else p, for a divergence D. Like the
keep-tests of other rules it compares the models at temperature 1: at
temperature 0, or truncated, they would be equal or infinitely far apart.
Source: Holsman et al. 2025, "Fuzzy Speculative Decoding for a Tunable
Accuracy-Runtime Tradeoff" (arXiv 2502.20704).
"""

import math

import jax.numpy as jnp

from speccascade.rules import base
from speccascade.sampling import probabilities


def _kl(a, b):
  """KL(a || b) in nats, [...]; infinite where b lacks what a has."""
  log_ratio = jnp.log(jnp.where(a > 0, a, 1)) - jnp.log(jnp.where(a > 0, b, 1))
  return jnp.where(a > 0, a * log_ratio, 0).sum(-1)


def _js(q, p):
  """Jensen-Shannon divergence in nats, [...], at most log 2."""
  middle = (q + p) / 2
  return (_kl(q, middle) + _kl(p, middle)) / 2


def _fsd(name, divergence, largest, examples):
  """The rule of one divergence."""

  @base.takes(base.Parameter('tau', 0, largest, examples=examples))
  def rule(q, p, q_raw, p_raw, tau):
    # Rounding may pass the largest that there is.
    apart = jnp.minimum(divergence(q_raw, p_raw), largest)
    return base.keep(apart <= tau, q, p)

  rule.__name__ = name
  rule.__doc__ = (
    f'Pi = q where D(q_raw, p_raw) <= tau, D by {name}; else p.\n\n'
    'Strict at 0 unless both models agree exactly, the drafter as tau grows.\n'
    'Source: Holsman et al. 2025.'
  )
  return rule


fsd_js = _fsd('fsd_js', _js, math.log(2), (0.01, 0.08, 0.3))
fsd_kl_qp = _fsd('fsd_kl_qp', _kl, math.inf, (0.05, 0.3, 1.5))
fsd_kl_pq = _fsd(
  'fsd_kl_pq', lambda q, p: _kl(p, q), math.inf, (0.05, 0.4, 1.5)
)
fsd_tv = _fsd('fsd_tv', probabilities.total_variation, 1, (0.05, 0.45, 0.8))
