"""A tiny Gemma pair and a ragged batch with every kind of row.

A module that decodes it shares its compiled programs with the others: each
(gamma, batch shape) compiles once in a test run.
"""

import functools

import jax
import numpy as np

from speccascade import distributions, rules
from speccascade.decoding import cascade, results
from speccascade.models import gemma

GAMMAS = (0, 1, 3, 5, 8)
N = 24  # Most new tokens: with the prompts, several times the window.
S = 9  # Width of the prompts.
ROWS = 8
EOS = 16

_SHARED = dict(
  vocab_size=32,
  num_layers=2,
  embed_dim=16,
  num_heads=8,
  num_kv_heads=4,
  head_dim=4,
  hidden_dim=16,
  context_length=40,
  window=5,
  dtype='float64',
)

# The drafter is scanned and all rings; the verifier unrolled and half rings.
DRAFTER = gemma.Gemma(
  gemma.GemmaConfig(attention_pattern=('local',), scan_layers=True, **_SHARED)
)
VERIFIER = gemma.Gemma(gemma.GemmaConfig(**_SHARED))

# Alphas of the rows, spread over where each rule changes its mind.
ALPHAS = {
  'strict': (0, 0),
  'drafter': (0, 0),
  'chow': (0, 0.5),
  'diff': (-0.2, 0.3),
  'opt': (-0.5, 1.5),
  'token_v1': (-0.1, 0.6),
  'token_v2': (0, 0.8),
  'token_v3': (0, 0.9),
  'lossy': (0, 0.9),
  'lossy_beta1': (0, 0.9),
  'lossy_beta_half': (0, 0.9),
  'lossy_beta2': (0, 0.9),
  'typical': (0.1, 1),
  'bild': (0, 3),
  'top_p': (0.3, 1),
  'top_k': (1, 8),
  'min_p': (0.05, 0.9),
}


@functools.cache
def params(noise=0.1):
  """(drafter's, verifier's): peaky, attentive, alike but far from equal.

  The drafter's weights are the verifier's plus noise. Weak embeddings and
  strong queries and keys make a token depend on all that a layer sees.
  """
  rng = np.random.default_rng(2)

  def fill(path, x):
    width = {'embedding': 0.075, 'query': 0.4, 'key': 0.4, 'scale': 0.2}
    return width.get(path[-1].key, 0.25) * rng.normal(size=x.shape)

  def stack(name):
    layers = verifier_params['layers_0']
    pair = layers[name], layers[name.replace('local_0', 'global_1')]
    return jax.tree.map(lambda *x: roughen(np.stack(x)), *pair)

  def roughen(x):
    return x + noise * x.std() * rng.normal(size=x.shape)

  verifier_shapes, drafter_shapes = (
    jax.eval_shape(m.init, jax.random.key(0)) for m in (VERIFIER, DRAFTER)
  )
  verifier_params = jax.tree_util.tree_map_with_path(fill, verifier_shapes)
  verifier_params['final_norm']['scale'] += 6
  drafter_params = {
    'embedding': verifier_params['embedding'],
    'final_norm': verifier_params['final_norm'],
    'layers': {name: stack(name) for name in drafter_shapes['layers']},
  }
  return drafter_params, verifier_params


def alphas(name):
  """One alpha a row."""
  return np.random.default_rng(0).permutation(np.linspace(*ALPHAS[name], ROWS))


def prompts(width=S):
  """Ragged, one of a single token; what pads them is not pad."""
  token_PxS = np.random.default_rng(3).integers(4, 32, (ROWS, S))
  length_P = np.array([1, 9, 4, 7, 2, 9, 5, 3])
  token_PxS = np.pad(token_PxS, ((0, 0), (0, width - S)))
  return results.Prompts(token_PxS, length_P, np.arange(ROWS) + 100)


def sampling(temperature=None):
  """A setting a row, or one temperature for all."""
  mixed = np.array([1, 0, 0.5, 1, 1, 0, 0.7, 1.3])
  return distributions.Sampling(
    mixed if temperature is None else np.full(ROWS, float(temperature)),
    np.array([1, 1, 1, 0.8, 1, 1, 0.8, 1]),
  )


def make_cascade(gamma):
  return cascade.Cascade(DRAFTER, VERIFIER, gamma, N, EOS)


@functools.cache
def decode(name, gamma, temperature=None, seed=0):
  """The batch under a rule, on the host."""
  return jax.device_get(
    cascade.decode(
      make_cascade(gamma),
      params(),
      prompts(),
      sampling(temperature),
      rules.RULES[name],
      alphas(name),
      jax.random.key(seed),
    )
  )


def row(tree, rows):
  """Some rows of Prompts, Sampling or a Result."""
  return jax.tree.map(lambda x: x[rows], tree)


def assert_same(a, b, gamma_free=True):
  """Tokens, lengths and counts agree; all counts if gamma is the same."""
  np.testing.assert_array_equal(a.token_BxN, b.token_BxN)
  np.testing.assert_array_equal(a.length_B, b.length_B)
  np.testing.assert_array_equal(a.from_drafter_BxN, b.from_drafter_BxN)
  np.testing.assert_allclose(
    a.counts.divergence_B, b.counts.divergence_B, rtol=0, atol=1e-9
  )
  names = ['accepted_B', 'rejected_B', 'deferred_B']
  if not gamma_free:
    names += ['verifier_calls_B', 'drafter_steps_B', 'drafted_B']
    names += ['accepted_lengths_BxG']
  for name in names:
    np.testing.assert_array_equal(
      getattr(a.counts, name), getattr(b.counts, name), err_msg=name
    )
