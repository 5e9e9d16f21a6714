"""A tiny Gemma pair and a ragged batch with every kind of row.

One program decodes the batch under every drafting method, a group of rows
each, and tells what each position was: a module that asks for a draft length
shares the program with the others.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results
from speccascade.models.decoder import model as decoder
from speccascade.models.gemma2 import config as gemma2
from speccascade.sampling import keys, probabilities

GAMMAS = (3, 8)  # Under all methods; the last is longer than the window.
N = 24  # Most new tokens: with the prompts, several times the window.
S = 9  # Width of the prompts.
ROWS = 8
EOS = 16
SEED = 2  # Of which the batch has rows of every kind.

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

# All rings, and half of them.
DRAFTER = decoder.Decoder(
  gemma2.Gemma2Config(attention_pattern=('local',), **_SHARED)
)
VERIFIER = decoder.Decoder(gemma2.Gemma2Config(**_SHARED))

DRAFTING = tuple(m.name for m in methods.METHODS.values() if m.drafts)
# Where the loop cannot know the method: no parameter, one, and two.
FORMS = ('strict', 'token_v3', 'lossy_beta')


@functools.cache
def params(noise=0.1):
  """(drafter's, verifier's): peaky, attentive, alike but far from equal.

  The drafter's weights are the verifier's plus noise, with its layers stacked.
  Weak embeddings and strong queries and keys make a token depend on all that a
  layer sees.
  """
  rng = np.random.default_rng(2)

  def fill(path, x):
    width = {'embedding': 0.075, 'query': 0.4, 'key': 0.4, 'scale': 0.2}
    return width.get(path[-1].key, 0.25) * rng.normal(size=x.shape)

  def roughen(*layers):
    x = np.stack(layers)
    return x + noise * x.std() * rng.normal(size=x.shape)

  shapes, verifier_params = jax.eval_shape(VERIFIER.init, keys.make(0)), {}
  for name in ('embedding', 'final_norm', 'layers_1', 'layers_0'):
    part = {name: shapes[name]}
    verifier_params |= jax.tree_util.tree_map_with_path(fill, part)
  verifier_params['final_norm']['scale'] += 6
  drafter_params = {
    'embedding': verifier_params['embedding'],
    'final_norm': verifier_params['final_norm'],
    'stack_0': jax.tree.map(
      roughen, verifier_params['layers_0'], verifier_params['layers_1']
    ),
  }
  return drafter_params, verifier_params


def values(name):
  """For each of a method's parameters one value a row, small to large."""
  rng = np.random.default_rng(0)
  return tuple(
    rng.permutation(np.linspace(x.examples[0], x.examples[-1], ROWS))
    for x in methods.get(name).parameters
  )


def prompts(width=S, copies=1):
  """Ragged, one of a single token; what pads them is not pad."""
  token_PxS = np.random.default_rng(3).integers(4, 32, (ROWS, S))
  length_P = np.array([1, 9, 4, 7, 2, 9, 5, 3])
  token_PxS = np.pad(token_PxS, ((0, 0), (0, width - S)))
  return results.Prompts(token_PxS, length_P, np.arange(ROWS) + 100, copies)


def sampling(temperature=None, copies=1):
  """A setting a row, or one temperature for all."""
  mixed = np.array([1, 0, 0.5, 1, 1, 0, 0.7, 1.3])
  mixed = mixed if temperature is None else np.full(ROWS, float(temperature))
  top_p = np.array([1, 1, 1, 0.8, 1, 1, 0.8, 1])
  return probabilities.Sampling(np.tile(mixed, copies), np.tile(top_p, copies))


def observe(draft, verified, divergence_BxG):
  """What `Loop.observe` tells here: of the draft, the verifier and both."""
  return {
    'divergence': divergence_BxG,
    'best_p': verified.p_raw_BxGxV.max(-1),
    'drafted': draft.token_BxG,
  }


def make_loop(gamma, names=FORMS, rows=ROWS, **changes):
  """A Loop whose groups follow these methods, `rows` rows each."""
  groups = tuple(loop_lib.Group(methods.get(name), rows) for name in names)
  return loop_lib.Loop(DRAFTER, VERIFIER, gamma, N, (EOS,), groups, **changes)


def request(names=FORMS, temperature=None, seed=SEED, **changes):
  """The batch once for each of these methods."""
  copies = len(names)
  asked = results.Request(
    prompts(copies=copies),
    sampling(temperature, copies),
    tuple(map(values, names)),
    keys.make(seed),
  )
  return asked.replace(**changes)


@functools.cache
def decode_all(gamma, temperature=None, seed=SEED):
  """The batch under every drafting method, on the host."""
  return jax.device_get(
    loop_lib.decode(
      make_loop(gamma, DRAFTING, observe=observe),
      params(),
      request(DRAFTING, temperature, seed),
    )
  )


def decode(name, gamma, temperature=None, seed=SEED):
  """The batch under one method."""
  return group(decode_all(gamma, temperature, seed), DRAFTING.index(name))


def group(result, i):
  """The rows of the i-th group."""
  return row(result, slice(i * ROWS, (i + 1) * ROWS))


def row(tree, rows):
  """Some rows of Prompts, Sampling or a Result."""
  return jax.tree.map(lambda x: x[rows], tree)


def alone(asked, b):
  """A request whose batch is row b of every group, in every place."""

  def only(x):
    x = jnp.asarray(x)
    return jnp.repeat(x.reshape(-1, ROWS, *x.shape[1:])[:, b], ROWS, axis=0)

  return asked.replace(
    prompts=jax.tree.map(only, asked.prompts),
    sampling=jax.tree.map(only, asked.sampling),
    values=jax.tree.map(only, asked.values),
  )


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
    names += ['accepted_lengths_BxA']
  for name in names:
    np.testing.assert_array_equal(
      getattr(a.counts, name), getattr(b.counts, name), err_msg=name
    )
