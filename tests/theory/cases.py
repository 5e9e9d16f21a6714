"""Random pairs of models under the sampling settings of the decoder.

Every test takes blocks of one shape, so that a rule compiles once.

Letters: B settings, T positions, V vocabulary.
"""

import itertools

import jax
import numpy as np

from speccascade import rules
from speccascade.sampling import probabilities
from tests.rules import examples

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
  raw_BxTxV = probabilities.raw(logits_BxTxV)
  sampling = probabilities.Sampling(temperature_B, top_p_B)
  probs = probabilities.sampled(logits_BxTxV, raw_BxTxV, sampling)
  return probs, raw_BxTxV


def target(name, case, *values):
  """BxTxV: the rule's pi; each of its values broadcasts to BxT."""
  shape = case[0].shape[:-1]
  spread = (np.broadcast_to(np.asarray(x, float), shape) for x in values)
  return np.asarray(_RULES[name](*case, *spread))


def values(name, seed=0):
  """For each parameter BxT random values, between its examples."""
  return examples.random(rules.RULES[name].parameters, (B, T), seed)


def divergence(a, b):
  """D_TV over the last axis, by its symmetric form."""
  return np.abs(a - b).sum(-1) / 2
