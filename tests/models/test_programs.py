"""What compiled decoding loops write: no cache, no keys, no weights anew."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from speccascade.models import cache as cache_lib
from speccascade.models import registry
from tests.models import programs

WIDTH, NEW, BLOCK = 301, 500, 2  # Room for far more than is ever live.


def _decode(model, T, params, prompt_BxS, length_B):
  """Feeds blocks of T tokens in one loop and rewinds them in another."""
  cache, last_B = model.prefill(
    params, prompt_BxS, length_B, new_tokens=NEW, block=BLOCK
  )

  def feed(_, state):
    cache, token_BxT = state
    logits, cache = model.extend(params, cache, token_BxT)
    return cache, logits.argmax(-1).astype(jnp.int32)

  def step(state):
    length_B = state[0].length_B
    cache, token_BxT = lax.fori_loop(0, 3, feed, state)
    return cache_lib.rewind(cache, length_B + 1), token_BxT

  unfinished = lambda state: jnp.any(state[0].length_B < NEW)  # noqa: E731
  return lax.while_loop(unfinished, step, (cache, jnp.tile(last_B[:, None], T)))


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize('stacked', [False, True])
@pytest.mark.parametrize('name', ['gemma2', 'qwen3', 't5'])
def test_a_decode_loop_copies_nothing_large(name, stacked):
  """Nothing as large as keys or weights is written but by updates in place.

  What is read of a cache in part is copied, and no more of it.
  """
  config = dataclasses.replace(
    registry.FAMILIES[name].examples[0],
    num_layers=2,
    dtype='float32',
  )
  model = registry.make_model(config)
  rows, T = (4, 2) if stacked else (1, 1)
  decode = jax.jit(functools.partial(_decode, model, T))
  make = lambda key: model.init(key)  # noqa: E731
  if stacked:
    make = lambda key: model.stack(model.init(key))  # noqa: E731
  params = jax.eval_shape(make, jax.random.key(0))
  tokens = jax.ShapeDtypeStruct((rows, WIDTH), jnp.int32)
  lengths = jax.ShapeDtypeStruct((rows,), jnp.int32)
  cache, _ = jax.eval_shape(decode, params, tokens, lengths)
  text = decode.lower(params, tokens, lengths).compile().as_text()

  written = programs.in_loops(text)
  sizes = {x.size for x in written if not x.in_place}
  assert any(x.in_place for x in written)
  memory = cache.memory.keys if cache.memory else ()
  for x_LxBxKxSxH in cache.keys + memory:
    _, B, K, S, H = x_LxBxKxSxH.shape
    if S < WIDTH:
      continue  # A short ring is no larger than much else.
    assert x_LxBxKxSxH.size not in sizes
    for width in cache_lib.widths(S)[:-1]:
      assert B * K * width * H in sizes
  for path, x in jax.tree_util.tree_leaves_with_path(params):
    if path[-1].key == 'out':
      assert x.size not in sizes
