"""The layers of a decoder.

Shape letters are those of `speccascade.models`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from speccascade.models import cache as cache_lib
from speccascade.models import common, stacking
from speccascade.models.decoder import attention, partition
from speccascade.models.decoder import config as config_lib

# Keys and values, each one array a stack of a cache.
_Stacks = tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]


def init(cfg: config_lib.Config, key: jax.Array) -> dict[str, Any]:
  """Returns random float32 parameters, with a name a layer."""
  table = nn.initializers.normal(cfg.embed_dim**-0.5)
  shape = (cfg.vocab_size, cfg.embed_dim)
  embed_key, head_key, *layer_keys = jax.random.split(key, 2 + cfg.num_layers)
  params = {'embedding': table(embed_key, shape)}
  if not cfg.tied:
    params['lm_head'] = table(head_key, shape)
  x_1x1xD = jnp.zeros((1, 1, cfg.embed_dim))
  params['final_norm'] = _norm(cfg).init(key, x_1x1xD)['params']
  context = attention.context(cfg, jnp.zeros(1, jnp.int32), 1, None)

  @functools.partial(jax.jit, static_argnums=0)  # Traced once a kind.
  def make(kind, key):
    layer = Layer(cfg, kind, False)
    return layer.init(key, x_1x1xD, None, 0, context)['params']

  for i, layer_key in enumerate(layer_keys):
    params[f'layers_{i}'] = make(_kind(cfg, i), layer_key)
  return params


def apply(
  cfg: config_lib.Config,
  params: dict[str, Any],
  token_BxT: jax.Array,
  cache: cache_lib.Cache | None = None,
  prompt_B: jax.Array | None = None,
) -> tuple[jax.Array, _Stacks | None]:
  """Runs all layers over a block.

  Args:
    cfg: configuration.
    params: from `init`, or those with their layers stacked.
    token_BxT: int32 tokens.
    cache: of the tokens before them; None is an empty one, which is not kept.
    prompt_B: how many tokens of its prompt each row is to hold, if the block is
      the prompts' next: then `cache.length_B` is one number for all rows.

  Returns:
    (x_BxTxD after the final norm, the cache's (keys, values) with the block
    appended, one array a stack; None without a cache).
  """
  x_BxTxD = common.embed(
    token_BxT, params['embedding'], cfg.dtype, params.get('embedding_scale')
  )
  if cfg.scales_embedding:
    x_BxTxD *= jnp.sqrt(float(cfg.embed_dim)).astype(cfg.dtype)
  T = token_BxT.shape[1]
  start_B = jnp.zeros(1, jnp.int32) if cache is None else cache.length_B
  context = attention.context(cfg, start_B, T, prompt_B)
  if cache is not None:
    _check_rings(cfg, params, cache, T)
  period = len(stacking.stacks_of(params))
  x_BxTxD, stacks = _scan(cfg, params, x_BxTxD, _part(cache, period), context)
  stacks = [stacks]

  @functools.partial(jax.jit, static_argnums=0)  # Traced once a kind.
  def run(layer, params, x_BxTxD, cached):
    return _runner(layer, cached, 0, context, period > 0)(params, x_BxTxD)

  for place, (i, layer_params) in enumerate(stacking.tail(params), period):
    old = None if cache is None else (cache.keys[place], cache.values[place])
    layer = Layer(cfg, _kind(cfg, i), cache is not None and cache.rings[place])
    x_BxTxD, new = run(layer, layer_params, x_BxTxD, old)
    stacks.append(new and tuple((x,) for x in new))
  x_BxTxD = _norm(cfg).apply({'params': params['final_norm']}, x_BxTxD)
  if cache is None:
    return x_BxTxD, None
  return x_BxTxD, tuple(sum(x, ()) for x in zip(*stacks, strict=True))


def empty(
  cfg: config_lib.Config,
  params: dict[str, Any],
  rows: int,
  capacity: int,
  block: int,
  chunk: int,
  shared: bool = False,
) -> cache_lib.Cache:
  """Returns a cache of nothing.

  Args:
    cfg: configuration.
    params: from `init`, or stacked.
    rows: B.
    capacity: most tokens of a row, prompt and answer.
    block: longest block that will be appended to it.
    chunk: longest block of prompts.
    shared: as of `cache.empty`.
  """
  makers, rings = [], []
  for kind, layers in _stacks(cfg, params):
    slots, ring = cache_lib.num_slots(kind.window, capacity, block, chunk)
    shape = layers, rows, kind.num_kv_heads, slots, kind.head_dim
    makers.append(
      functools.partial(cache_lib.empty, *shape, cfg.dtype, shared=shared)
    )
    rings.append(ring)
  return cache_lib.Cache(
    length_B=jnp.zeros(rows, jnp.int32),
    keys=tuple(make() for make in makers),
    values=tuple(make() for make in makers),
    rings=tuple(rings),
  )


def windows(cfg: config_lib.Config, params: dict[str, Any]) -> list[int | None]:
  """Returns the window of each stack of a cache, of the layers in it."""
  return [kind.window for kind, _ in _stacks(cfg, params)]


def _stacks(cfg, params):
  """(kind, number of layers) of each stack of a cache."""
  period, steps = len(stacking.stacks_of(params)), stacking.steps(params)
  return [(_kind(cfg, i), steps) for i in range(period)] + [
    (_kind(cfg, i), 1) for i, _ in stacking.tail(params)
  ]


def _scan(cfg, params, x_BxTxD, old, context):
  """Runs the stacked layers: (x_BxTxD, (keys, values) of their stacks)."""
  stacked = stacking.stacks_of(params)
  if not stacked:
    return x_BxTxD, old and ((), ())
  rings = old[2] if old else (False,) * len(stacked)
  layers = [Layer(cfg, *x) for x in zip(cfg.kinds, rings, strict=True)]

  @functools.partial(jax.jit, static_argnums=0)  # Traced once a kind.
  def run(layer, params, x_BxTxD, cached, index):
    return _runner(layer, cached, index, context, True)(params, x_BxTxD)

  def step(carry, inputs):
    (x_BxTxD, cached), (own, index) = carry, inputs
    made = []
    for j, layer in enumerate(layers):
      mine = cached and (cached[0][j], cached[1][j])
      x_BxTxD, new = run(layer, own[j], x_BxTxD, mine, index)
      made.append(new)
    return (x_BxTxD, cached and tuple(zip(*made, strict=True))), None

  indices = jnp.arange(stacking.steps(params))
  start = (x_BxTxD, old and old[:2])
  return lax.scan(step, start, (stacked, indices))[0]


def _runner(layer, cached, index, context, stacked):
  """Returns (params, x_BxTxD) -> (x_BxTxD, (keys, values)) of a layer."""

  def run(params, x_BxTxD):
    return layer.apply({'params': params}, x_BxTxD, cached, index, context)

  if cached is not None:
    return run
  return common.uncached(run, partition.PARTITION, again=stacked)


def _part(cache, number):
  """(keys, values, rings) of the first stacks; None without a cache."""
  if cache is None:
    return None
  return tuple(x[:number] for x in (cache.keys, cache.values, cache.rings))


def _kind(cfg, i):
  return cfg.kinds[i % len(cfg.kinds)]


def _norm(cfg):
  return common.RMSNorm(cfg.norm_epsilon, cfg.norm_offset)


def _check_rings(cfg, params, cache, block):
  stacks = zip(windows(cfg, params), cache.rings, cache.keys, strict=True)
  for window, ring, keys in stacks:
    slots = keys.shape[3]
    if ring and window + block > slots:
      raise ValueError(
        f'the ring cache takes blocks of at most {slots - window} tokens, '
        f'got {block}; prefill with a larger block'
      )


class Layer(nn.Module):
  """Attention and feed-forward, each with its norms and residual.

  Attributes:
    config: of the decoder.
    kind: how it attends.
    ring: whether its cache is a ring.
  """

  config: config_lib.Config
  kind: config_lib.Kind
  ring: bool

  @nn.compact
  def __call__(self, x_BxTxD, cached, layer, context):
    """Returns (x_BxTxD, (keys, values)): the cache's stacks, or None.

    Args:
      x_BxTxD: block.
      cached: keys and values, LxBxKxSxH, of the stack that has this layer;
        None without a cache.
      layer: its index in the stack.
      context: what all layers share.
    """
    cfg = self.config
    join = functools.partial(
      common.join, epsilon=cfg.norm_epsilon, offset=cfg.norm_offset,
      kept=cached is not None,
    )  # fmt: skip

    def scale(name):
      if name.startswith('post') and not cfg.post_norms:
        return None
      return common.Scale(cfg.norm_offset, name=name)(cfg.embed_dim)

    _, y_BxTxD = join(x_BxTxD, None, None, scale('pre_attention_norm'))
    y_BxTxD, kv = attention.Attention(
      cfg, self.kind, self.ring, name='attention'
    )(y_BxTxD, cached, layer, context)
    scales = scale('post_attention_norm'), scale('pre_ffw_norm')
    x_BxTxD, y_BxTxD = join(x_BxTxD, y_BxTxD, *scales)
    ffw = common.FeedForward(cfg.hidden_dim, cfg.activation, name='ffw')
    y_BxTxD = ffw(y_BxTxD)
    x_BxTxD, _ = join(x_BxTxD, y_BxTxD, scale('post_ffw_norm'), None)
    if cfg.layer_scalar:
      scalar_1 = self.param('scalar', nn.initializers.ones, (1,))
      x_BxTxD *= scalar_1.astype(x_BxTxD.dtype)
    return x_BxTxD, kv
