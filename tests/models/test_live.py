"""Attention reads what is live of a cache, not all that it has room for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import registry

S, NEW, BLOCK = 300, 280, 3  # The prompts are far shorter than S.
T = 93 * BLOCK
LENGTH_B = np.array([9, 1, 6, 70])
B = len(LENGTH_B)

CONFIGS = {  # Of which the layers are stacked.
  name: registry.FAMILIES[name].examples[-1] for name in ('qwen2', 't5')
}
CONFIGS['gemma2'] = dataclasses.replace(  # With a ring that is large and wraps.
  registry.FAMILIES['gemma2'].examples[-1], window=254
)
pytestmark = pytest.mark.usefixtures('float64')


def test_widths():
  """Quarters, of whole vectors; all of a small cache."""
  widths = cache_lib.widths
  assert [widths(n) for n in (8, 128, 255)] == [(8,), (128,), (255,)]
  assert widths(256) == (64, 256)
  assert widths(300) == (96, 300)
  assert widths(2048) == (32, 128, 512, 2048)
  for slots in range(256, 3000):
    assert widths(slots)[-1] == slots
    assert all(32 <= n < slots / 2 for n in widths(slots)[:-1])


@pytest.mark.parametrize(
  ('least', 'want'),
  [
    (1, (32, 128, 512, 2048)),
    (32, (32, 128, 512, 2048)),
    (33, (128, 512, 2048)),
    (1024, (2048,)),
    (4096, (2048,)),
  ],
)
def test_no_branch_is_shorter_than_what_a_row_has_at_least(least, want):
  """What is read is what the shortest branch that is left holds.

  Each is traced once, for all platforms.
  """
  traced = []

  def count(part):
    traced.append(part.shape[2])
    return (part != 0).sum()

  def run(stack, length):
    return cache_lib.read(count, [stack], 0, length, least)

  stack = jnp.ones((1, 1, 1, 2048, 8))
  lowered = jax.jit(run).lower(stack, jnp.int32(9))
  text = lowered.as_text()
  slots = (
    want[-1],
    *(w for w in cache_lib.widths(2048)[:-1] if f'x{w}x8x' in text),
  )
  assert sorted(slots) == sorted(traced) == sorted(want)
  made = lowered.compile()
  for longest in range(least, 2048, 301):
    width = next(w for w in want if w >= longest)
    assert made(stack, jnp.int32(longest)) == 8 * width


def test_a_chunk_of_prompts_has_no_branch_that_cannot_hold_it():
  """A row alone is read at once, four of them a quarter at a time."""
  model = registry.make_model(CONFIGS['qwen2'])
  params = jax.eval_shape(model.init, jax.random.key(0))
  read = functools.partial(model.prefill, new_tokens=NEW, block=BLOCK)

  def branches(rows):
    """Which widths there are branches of, for prompts of 1024 tokens."""
    tokens = jax.ShapeDtypeStruct((rows, 1024), jnp.int32)
    lowered = jax.jit(read).lower(params, tokens, tokens.update(shape=(rows,)))
    (cache, _), text = lowered.out_info, lowered.as_text()
    *_, K, S, H = cache.keys[0].shape
    return [w for w in cache_lib.widths(S) if f'{rows}x{K}x{w}x{H}x' in text]

  assert [len(branches(1)), len(branches(4))] == [1, 2]


@functools.partial(jax.jit, static_argnums=0)
def _prefill(model, params, prompt_BxS):
  return model.prefill(
    params, prompt_BxS, jnp.asarray(LENGTH_B), new_tokens=NEW, block=BLOCK
  )


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, *inputs):
  return model.forward(params, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def _extend(model, params, cache, token_BxT):
  """Blocks after a cache that is NaN wherever it is not to be read."""

  def extend(cache, token_BxT):
    logits_BxTxV, cache = model.extend(params, _poisoned(cache), token_BxT)
    return jax.tree.map(jnp.nan_to_num, cache), logits_BxTxV

  blocks = token_BxT.reshape(B, -1, BLOCK).swapaxes(0, 1)
  cache, logits = lax.scan(extend, cache, blocks)
  return logits.swapaxes(0, 1).reshape(*token_BxT.shape, -1), cache


def _poisoned(cache):
  longest, memory = cache.length_B.max() + BLOCK, cache.memory
  if memory is not None:
    memory = _poison(memory, memory.length_B.max())
  return _poison(cache, longest).replace(memory=memory)


def _poison(stacks, longest):
  def poison(x_LxBxKxSxH):
    slots = x_LxBxKxSxH.shape[3]
    widths = jnp.array(cache_lib.widths(slots))
    read = widths[jnp.minimum((longest > widths).sum(), len(widths) - 1)]
    dead_Sx1 = (jnp.arange(slots) >= read)[:, None]
    return jnp.where(dead_Sx1, jnp.nan, x_LxBxKxSxH)

  keys, values = (
    tuple(map(poison, part)) for part in (stacks.keys, stacks.values)
  )
  return stacks.replace(keys=keys, values=values)


@functools.cache
def _case(config):
  """(model, rough parameters, cache, what is fed after it, its logits)."""
  model = registry.make_model(dataclasses.replace(config, dtype='float64'))
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  params = jax.tree.map(lambda x: 0.5 * rng.normal(size=x.shape), shapes)
  params = model.stack(params)
  prompt_BxS = rng.integers(0, model.vocab_size, (B, S))
  fed_BxT = rng.integers(0, model.vocab_size, (B, T))
  cache, fed_BxT[:, 0] = _prefill(model, params, prompt_BxS)
  logits_BxTxV = _one_pass(model, params, prompt_BxS, fed_BxT)
  return model, params, cache, fed_BxT, logits_BxTxV


def _one_pass(model, params, prompt_BxS, fed_BxT):
  """Logits after each token fed, by one uncached pass."""
  if registry.family_of(model.config).encodes_input:
    return _forward(model, params, prompt_BxS, jnp.asarray(LENGTH_B), fed_BxT)
  held_B = LENGTH_B - 1
  rows = np.zeros((B, max(LENGTH_B) + T), int)
  for row, prompt, held, fed in zip(
    rows, prompt_BxS, held_B, fed_BxT, strict=True
  ):
    row[:held], row[held : held + T] = prompt[:held], fed
  at_BxT = held_B[:, None] + np.arange(T)
  logits = np.asarray(_forward(model, params, rows))
  return np.take_along_axis(logits, at_BxT[..., None], 1)


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
def test_what_is_dead_is_not_read(config):
  """And what is live is: blocks over every width equal one pass."""
  model, params, cache, fed_BxT, want = _case(config)
  assert any(len(cache_lib.widths(x.shape[3])) > 1 for x in cache.keys)
  got, _ = _extend(model, params, cache, fed_BxT)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_a_sharded_cache():
  """The longest row is on some of the devices."""
  model, params, cache, fed_BxT, want = _case(CONFIGS['gemma2'])

  def place(x):
    spec = sharding.CACHE if x.ndim == 5 else sharding.BATCH
    return sharding.constrain(x, spec)

  with jax.set_mesh(sharding.make_mesh(2, 4, jax.devices()[:8])):
    cache = jax.jit(lambda cache: jax.tree.map(place, cache))(cache)
    got, after = _extend(model, params, cache, fed_BxT[:, :BLOCK])
  for old, new in zip(cache.keys, after.keys, strict=True):
    assert not new.sharding.is_fully_replicated
    assert old.sharding.is_equivalent_to(new.sharding, 5)
  np.testing.assert_allclose(got, want[:, :BLOCK], rtol=0, atol=1e-10)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
@pytest.mark.parametrize(('data', 'model'), [(1, 1), (4, 1), (2, 4)])
def test_a_gpu_chooses_where_its_own_share_is_worth_a_wait(data, model):
  """However many devices there are."""
  L, K, H, slots = 2, 4, 8, 256
  least, _ = cache_lib.widths(slots)
  mesh = sharding.make_mesh(data, model, jax.devices()[: data * model])

  def chooses(rows):
    """Whether a program can read `least`, of so many rows a device."""
    shape = L, rows * mesh.size, K, slots, H
    stacks = [jax.ShapeDtypeStruct(shape, jnp.float32)] * 2

    def run(stacks, length):
      count = lambda *parts: sum(x.sum() for x in parts)  # noqa: E731
      return cache_lib.read(count, stacks, 0, length)

    with jax.set_mesh(mesh):
      traced = jax.jit(run).trace(stacks, jnp.int32(9))
      text = traced.lower(lowering_platforms=('cuda',)).as_text()
    return f'x{K}x{least}x{H}x' in text

  worth = cache_lib._WAIT // (2 * K * H * 4 * least)
  assert not chooses(worth)
  assert chooses(worth + 1)
