"""Gemma 2's layers.

Shape letters are those of `speccascade.models`.
"""

import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from speccascade.models import cache as cache_lib
from speccascade.models import common
from speccascade.models.gemma import config as config_lib


class Transformer(nn.Module):
  """Embedding, layers and final norm; the caller computes the logits."""

  config: config_lib.GemmaConfig

  @nn.compact
  def __call__(self, token_BxT, cache=None):
    """Returns (x_BxTxD, (keys, values)), one stack a layer of a period."""
    cfg = self.config
    embedding_VxD = self.param(
      'embedding',
      nn.initializers.normal(cfg.embed_dim**-0.5),
      (cfg.vocab_size, cfg.embed_dim),
    )
    scale = jnp.sqrt(float(cfg.embed_dim)).astype(cfg.dtype)
    x_BxTxD = embedding_VxD[token_BxT].astype(cfg.dtype) * scale
    B, T = token_BxT.shape
    start_B = jnp.zeros(B, jnp.int32) if cache is None else cache.length_B
    position_BxT = start_B[:, None] + jnp.arange(T)
    context = _Context(
      position_BxT=position_BxT,
      longest=start_B.max() + T,
      rotation=_rope(position_BxT, cfg.head_dim, cfg.rope_base),
    )
    if cache is not None:
      _check_rings(cfg.windows, cache, T)
    period = len(cfg.attention_pattern)
    rings = (False,) * period if cache is None else cache.rings[:period]
    steps = cfg.num_layers // period
    if cfg.scan_layers:
      scan = nn.scan(
        _Period,
        variable_axes={'params': 0},
        split_rngs={'params': True},
        in_axes=(0, nn.broadcast),
        length=steps,
      )(cfg, rings, name='layers')
      old = None if cache is None else (cache.keys, cache.values)
      (x_BxTxD, carried), made = scan(
        (x_BxTxD, old), jnp.arange(steps), context
      )
      stacks = made if cache is None else carried
    else:
      keys, values = [], []
      for i in range(steps):
        own = slice(i * period, (i + 1) * period)
        old = None if cache is None else (cache.keys[own], cache.values[own])
        block = _Period(cfg, rings, name=f'layers_{i}')
        (x_BxTxD, carried), made = block((x_BxTxD, old), 0, context)
        if cache is None:
          carried = jax.tree.map(lambda x: x[None], made)
        keys.extend(carried[0])
        values.extend(carried[1])
      stacks = (tuple(keys), tuple(values))
    return _RMSNorm(name='final_norm')(x_BxTxD), stacks


@flax.struct.dataclass
class _Context:
  """Inputs that all layers share."""

  position_BxT: jax.Array
  longest: jax.Array  # tokens of the longest row, the block included
  rotation: tuple[jax.Array, jax.Array]


def _check_rings(windows, cache, block):
  for window, ring, keys in zip(windows, cache.rings, cache.keys, strict=False):
    slots = keys.shape[3]
    if ring and window + block > slots:
      raise ValueError(
        f'the ring cache takes blocks of at most {slots - window} tokens, '
        f'got {block}; prefill with a larger block'
      )


class _Period(nn.Module):
  """One period of the attention pattern: in Gemma 2 a local, a global layer."""

  config: config_lib.GemmaConfig
  rings: tuple[bool, ...]

  @nn.compact
  def __call__(self, carry, layer, context):
    x_BxTxD, cached = carry
    cfg = self.config
    keys, values = [], []
    for i, kind in enumerate(cfg.attention_pattern):
      old = None if cached is None else (cached[0][i], cached[1][i])
      name = f'{kind}_{i}'
      y_BxTxD = _RMSNorm(name=f'{name}_pre_attention_norm')(x_BxTxD)
      y_BxTxD, (key, value) = _Attention(
        cfg, cfg.windows[i], self.rings[i], name=f'{name}_attention'
      )(y_BxTxD, old, layer, context)
      x_BxTxD += _RMSNorm(name=f'{name}_post_attention_norm')(y_BxTxD)
      y_BxTxD = _RMSNorm(name=f'{name}_pre_ffw_norm')(x_BxTxD)
      y_BxTxD = common.FeedForward(cfg, name=f'{name}_ffw')(y_BxTxD)
      x_BxTxD += _RMSNorm(name=f'{name}_post_ffw_norm')(y_BxTxD)
      keys.append(key)
      values.append(value)
    made = (tuple(keys), tuple(values))
    if cached is None:
      return (x_BxTxD, None), made
    return (x_BxTxD, made), None


class _RMSNorm(nn.Module):
  @nn.compact
  def __call__(self, x_BxTxD):
    w_D = self.param('scale', nn.initializers.zeros, x_BxTxD.shape[-1:])
    return common.rms_norm(x_BxTxD, 1 + w_D.astype(common.wide(x_BxTxD.dtype)))


class _Attention(nn.Module):
  config: config_lib.GemmaConfig
  window: int | None
  ring: bool

  @nn.compact
  def __call__(self, x_BxTxD, cached, layer, context):
    """Attends over the block, or over the cache after appending it."""
    cfg = self.config
    D, N, K, H = cfg.embed_dim, cfg.num_heads, cfg.num_kv_heads, cfg.head_dim
    position_BxT = context.position_BxT
    mine = functools.partial(common.project, self, x_BxTxD)
    q_BxTxNxH = _rotate(mine('query', (D, N, H)), context.rotation)
    k_BxTxKxH = _rotate(mine('key', (D, K, H)), context.rotation)
    v_BxTxKxH = mine('value', (D, K, H))
    q_BxTxNxH *= (cfg.query_scalar or H) ** -0.5

    kv = (k_BxTxKxH.swapaxes(1, 2), v_BxTxKxH.swapaxes(1, 2))
    adjust = functools.partial(common.softcap, cap=cfg.attention_softcap)

    def attend(k_BxKxSxH, v_BxKxSxH):
      S = k_BxKxSxH.shape[2]
      key_BxS = jnp.arange(S)[None]  # Slots yet to be written are masked, too.
      if self.ring:
        end_B, slots = position_BxT[:, -1] + 1, cached[0].shape[3]
        key_BxS = cache_lib.slot_positions(end_B, slots, S)
      mask_BxTxS = cache_lib.causal_mask(position_BxT, key_BxS, self.window)
      return common.attend(q_BxTxNxH, k_BxKxSxH, v_BxKxSxH, mask_BxTxS, adjust)

    if cached is None:
      y_BxTxNxH = attend(*kv)
    else:
      kv = tuple(
        cache_lib.append(old, layer, new, position_BxT[:, 0], self.ring)
        for old, new in zip(cached, kv, strict=True)
      )
      y_BxTxNxH = cache_lib.read(attend, kv, layer, context.longest)
    return common.merge_heads(self, y_BxTxNxH, D), kv


def _rope(position_BxT, head_dim, base):
  """Returns (sin, cos), each BxTx1xH/2, float32 or wider."""
  dtype = jnp.result_type(float)
  fraction = jnp.arange(0, head_dim, 2, dtype=dtype) / head_dim
  angle = position_BxT[..., None, None].astype(dtype) / base**fraction
  return jnp.sin(angle), jnp.cos(angle)


def _rotate(x_BxTxNxH, rotation):
  sin, cos = (r.astype(common.wide(x_BxTxNxH.dtype)) for r in rotation)
  a, b = jnp.split(x_BxTxNxH, 2, axis=-1)
  y = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return y.astype(x_BxTxNxH.dtype)
