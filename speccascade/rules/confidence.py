"""Rules that follow one model at each position, by how sure the models are.

Differences are compared with alpha, since they are exact near 0 where
1 - alpha would be rounded.
"""

from speccascade.rules import base
from speccascade.sampling import probabilities


@base.takes(lossless=True)
def strict(q, p, q_raw, p_raw):
  """Speculative decoding: pi = p, lossless.

  Source: Leviathan et al. 2023; Chen et al. 2023.
  """
  del q, q_raw, p_raw
  return p


@base.takes()
def drafter(q, p, q_raw, p_raw):
  """The drafter alone, executed as a cascade: pi = q."""
  del p, q_raw, p_raw
  return q


@base.takes(base.Parameter('alpha', -1, 1, examples=(0, 0.45, 0.5)))
def chow(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= 1 - alpha, else p.

  Alpha: how far the drafter's confidence may be from 1; strict below 0 (and
  at 0 unless the drafter is certain), the drafter at 1. Source: equation 2.
  """
  del p_raw
  return base.keep(1 - q_raw.max(-1) <= alpha, q, p)


@base.takes(base.Parameter('alpha', -1, 1, examples=(-0.2, 0.05, 0.3)))
def diff(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= max p_raw - alpha, else p.

  Alpha: how far the drafter's confidence may be below the verifier's; strict
  at -1, the drafter at 1; not strict at 0. Source: equation 5.
  """
  return base.keep(p_raw.max(-1) - q_raw.max(-1) <= alpha, q, p)


@base.takes(base.Parameter('alpha', examples=(-0.5, 0.3, 1.5)))
def opt(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= max p_raw - alpha * D_TV(p, q), else p.

  The plug-in estimate of the optimal rule: alpha is the cost of a rejection in
  units of accuracy, usefully in [0, 2]; strict as alpha falls to minus
  infinity (pi = q then only where q = p); not strict at 0, where it equals
  diff. D_TV is of the tempered q and p. Source: equation 10.
  """
  lenience = alpha * probabilities.total_variation(p, q)
  return base.keep(p_raw.max(-1) - q_raw.max(-1) <= lenience, q, p)
