"""What compiled decoding loops write: no cache, no keys, no weights anew."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from speccascade.models import cache as cache_lib
from speccascade.models import int8, registry
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


def _compiled(name, stacked, narrow=False, **settings):
  """(parameters, cache, text of the program) of a tiny model."""
  settings = {'num_layers': 2, 'dtype': 'float32'} | settings
  config = dataclasses.replace(registry.FAMILIES[name].examples[0], **settings)
  model = registry.make_model(config)
  rows, T = (4, 2) if stacked else (1, 1)
  decode = jax.jit(functools.partial(_decode, model, T))

  def make(key):
    params = model.init(key)
    params = int8.quantised(params) if narrow else params
    return model.stack(params) if stacked else params

  params = jax.eval_shape(make, jax.random.key(0))
  tokens = jax.ShapeDtypeStruct((rows, WIDTH), jnp.int32)
  lengths = jax.ShapeDtypeStruct((rows,), jnp.int32)
  cache, _ = jax.eval_shape(decode, params, tokens, lengths)
  text = decode.lower(params, tokens, lengths).compile().as_text()
  return params, cache, text


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize(
  ('name', 'stacked', 'dtype'),
  [
    ('gemma2', False, 'bfloat16'),
    ('gemma2', True, 'float32'),
    ('t5', True, 'bfloat16'),
    *(
      pytest.param(*x, marks=pytest.mark.thorough)
      for x in (
        ('gemma2', False, 'float32'),
        ('gemma2', True, 'bfloat16'),
        ('t5', False, 'float32'),
        ('t5', False, 'bfloat16'),
        ('t5', True, 'float32'),
      )
    ),
  ],
)
def test_loops_hold_int8_weights_as_they_are(name, stacked, dtype):
  """What loops are given has none of their sizes in another type."""
  odd = dict(embed_dim=2 * 23, hidden_dim=29, vocab_size=37, head_dim=2 * 19)
  params, _, text = _compiled(name, stacked, narrow=True, dtype=dtype, **odd)
  sizes = {x.size for x in jax.tree.leaves(params) if x.dtype == jnp.int8}
  held = {'s8': set(), 'f32': set(), 'bf16': set()}
  for line in text.splitlines():
    told, loop, _ = line.partition(' while(')
    if loop:
      for kind, dims in re.findall(r'\b(s8|f32|bf16)\[([\d,]+)\]', told):
        held[kind].add(math.prod(map(int, dims.split(','))))
  assert held['s8'] & sizes
  assert not (held['f32'] | held['bf16']) & sizes


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize(
  ('name', 'stacked'),
  [
    ('gemma2', False),
    ('qwen3', True),
    ('t5', False),
    ('t5', True),
    pytest.param('gemma2', True, marks=pytest.mark.thorough),
    pytest.param('qwen3', False, marks=pytest.mark.thorough),
  ],
)
def test_a_decode_loop_copies_nothing_large(name, stacked):
  """Nothing as large as keys or weights is written but by updates in place.

  What is read of a cache in part is copied, and no more of it.
  """
  params, cache, text = _compiled(name, stacked)
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


@pytest.mark.parametrize('name', ['gemma2', 't5'])
def test_a_tpu_computes_the_logits_of_a_block_once(name):
  """Its compiler makes nothing again that such a barrier returned."""
  model = registry.make_model(registry.FAMILIES[name].examples[0])
  params = jax.eval_shape(model.init, jax.random.key(0))
  token_BxS = jax.ShapeDtypeStruct((3, 5), jnp.int32)
  prefill = functools.partial(model.prefill, new_tokens=4, block=2)
  cache, last_B = jax.eval_shape(
    prefill, params, token_BxS, jax.ShapeDtypeStruct((3,), jnp.int32)
  )
  token_BxT = jax.ShapeDtypeStruct((3, 2), last_B.dtype)
  traced = jax.jit(model.extend).trace(params, cache, token_BxT)
  barrier = rf'optimization_barrier .*tensor<3x2x{model.vocab_size}xf32>'
  for platform, number in {'tpu': 1, 'cuda': 0, 'cpu': 0}.items():
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert len(re.findall(barrier, text)) == number


@pytest.mark.parametrize('name', ['gemma2', 'gemma3', 'qwen2', 't5'])
def test_an_unrolled_layer_is_traced_once_a_kind(name):
  """However deep a model is: a layer more is a call more."""
  config = registry.FAMILIES[name].examples[0]
  period = len(getattr(config, 'kinds', (None,)))

  def products(depth):
    deep = {x: depth for x in vars(config) if x.endswith('_layers')}
    model = registry.make_model(dataclasses.replace(config, **deep))
    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((3, WIDTH), jnp.int32)
    lengths = jax.ShapeDtypeStruct((3,), jnp.int32)
    decode = jax.jit(functools.partial(_decode, model, 2))
    return decode.lower(params, tokens, lengths).as_text().count('dot_general')

  assert products(2 * period) == products(5 * period) > 0


def test_a_stacked_layer_is_traced_once_a_kind():
  """However many layers of a period are alike."""
  config = registry.FAMILIES['gemma3'].examples[0]

  def products(period):
    sizes = {'period': period, 'num_layers': 2 * period}
    model = registry.make_model(dataclasses.replace(config, **sizes))
    params = jax.eval_shape(
      lambda k: model.stack(model.init(k)), jax.random.key(0)
    )
    block = jax.ShapeDtypeStruct((3, 4), jnp.int32)
    lengths = jax.ShapeDtypeStruct((3,), jnp.int32)
    decode = jax.jit(functools.partial(_decode, model, 2))
    return decode.lower(params, block, lengths).as_text().count('dot_general')

  assert products(3) == products(6) > 0
