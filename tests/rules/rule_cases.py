"""Distributions of all kinds that rules meet, and rules compiled."""

import jax
import numpy as np

from speccascade import rules


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def one_hot(x):
  return np.eye(x.shape[-1])[x.argmax(-1)]


def cases(rows=200, V=7, seed=0):
  """(q, p, q_raw, p_raw), rows of all kinds that sampling makes."""
  rng = np.random.default_rng(seed)
  q_raw, p_raw = (softmax(3 * rng.normal(size=(rows, V))) for _ in 'qp')

  def sparse(x):  # As top-k and top-p leave it; some one token alone.
    kept = x >= np.sort(x)[np.arange(rows), rng.integers(0, V, rows)][:, None]
    return np.where(kept, x, 0) / np.where(kept, x, 0).sum(-1, keepdims=True)

  kinds = [
    (q_raw, p_raw),
    (softmax(np.log(q_raw) / 0.3), softmax(np.log(p_raw) / 0.3)),
    (sparse(q_raw), sparse(p_raw)),
    (one_hot(q_raw), one_hot(p_raw)),
    (one_hot(q_raw), sparse(p_raw)),
    (p_raw, p_raw),
  ]
  q, p = (np.concatenate(x) for x in zip(*kinds, strict=True))
  return q, p, np.tile(q_raw, (6, 1)), np.tile(p_raw, (6, 1))


def parameters(name):
  return rules.RULES[name].parameters


COMPILED = {name: jax.jit(rule) for name, rule in rules.RULES.items()}


def apply(name, case, *values):
  shape = case[0].shape[:-1]
  values = (np.broadcast_to(np.asarray(x, float), shape) for x in values)
  return np.asarray(COMPILED[name](*case, *values))


def rejection(pi, q):
  return np.maximum(pi - q, 0).sum(-1)
