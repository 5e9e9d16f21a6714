"""Random pairs of models under the sampling settings of the decoder.

Every test takes blocks of one shape, so that a rule compiles once.

Letters: B settings, T positions, V vocabulary.
"""

import itertools

import jax
import numpy as np

from speccascade import distributions, rules

T, V = 200, 7
# (temperature, top-p) of each row.
SETTINGS = tuple(itertools.product((0.0, 0.5, 1.0), (1.0, 0.8)))
B = len(SETTINGS)

_RULES = {name: jax.jit(rule) for name, rule in rules.RULES.items()}


def pairs(seed, settings=SETTINGS):
  """(q, p, q_raw, p_raw), BxTxV: at each setting the same T positions.

  The drafter is the verifier with noise: one is right as often as wrong.
  """
  rng = np.random.default_rng(seed)
  verifier_TxV = 2 * rng.normal(size=(T, V))
  drafter_TxV = verifier_TxV + 2 * rng.normal(size=(T, V))
  q, q_raw = sampled(drafter_TxV, settings)
  p, p_raw = sampled(verifier_TxV, settings)
  return q, p, q_raw, p_raw


def sampled(logits_TxV, settings):
  """(probabilities, raw ones), BxTxV: the same logits at each setting."""
  logits_BxTxV = np.tile(logits_TxV, (len(settings), 1, 1))
  temperature_B, top_p_B = np.array(settings).T
  return jax.device_get(_probabilities(logits_BxTxV, temperature_B, top_p_B))


@jax.jit
def _probabilities(logits_BxTxV, temperature_B, top_p_B):
  raw_BxTxV = distributions.raw(logits_BxTxV)
  sampling = distributions.Sampling(temperature_B, top_p_B)
  probs = distributions.probabilities(logits_BxTxV, raw_BxTxV, sampling)
  return probs, raw_BxTxV


def target(name, case, alpha):
  """BxTxV: the rule's pi; alpha broadcasts to BxT."""
  alpha_BxT = np.broadcast_to(np.asarray(alpha, float), case[0].shape[:-1])
  return np.asarray(_RULES[name](*case, alpha_BxT))


def alphas(name, seed=0):
  """BxT random alphas in the useful part of the rule's range."""
  low, high, *_ = rules.RULES[name].alpha_range or (0, 1)
  low, high = max(low, 0), min(high, max(1, low + 2))
  return np.random.default_rng(seed).uniform(low, high, (B, T))


def divergence(a, b):
  """D_TV over the last axis, by its symmetric form."""
  return np.abs(a - b).sum(-1) / 2
