"""Gemma 2's layers, and the parts of them that other families share.

Letters: B batch, T tokens, S keys, D model width, F feed-forward width,
N query heads, K key-value heads, G = N / K, H head width, V vocabulary.
"""

import functools
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from speccascade.models import cache as cache_lib

MASKED = -2.3819763e38  # Finite, so a fully masked row stays free of NaN.


def wide(dtype):
  """float32, or `dtype` where that is wider."""
  return jnp.promote_types(dtype, jnp.float32)


def softcap(x, cap):
  """X pressed smoothly into (-cap, cap)."""
  return cap * jnp.tanh(x / cap)


def rms_norm(x_BxTxD, scale_D):
  """Rows divided by their root mean square, times `scale_D`."""
  x = x_BxTxD.astype(wide(x_BxTxD.dtype))
  x *= jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6)
  return (x * scale_D.astype(x.dtype)).astype(x_BxTxD.dtype)


def project(module, x_BxTxD, name, shape, init=None):
  """`x_BxTxD` times parameter `name` of `module`, of `shape` (D, ...)."""
  init = init or nn.initializers.lecun_normal(0, tuple(range(1, len(shape))))
  w = module.param(name, init, shape).astype(x_BxTxD.dtype)
  return jnp.tensordot(x_BxTxD, w, 1)


class Transformer(nn.Module):
  """Embedding, layers and final norm; logits are left to the caller."""

  config: Any  # GemmaConfig

  @nn.compact
  def __call__(self, token_BxT, cache=None):
    """Final hidden states and the keys and values, one stack a layer kind."""
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
      start_B=start_B,
      rotation=_rope(position_BxT, cfg.head_dim, cfg.rope_base),
      masks=_masks(cfg.windows, position_BxT, cache),
    )
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
  """What every layer shares: positions, rotations and masks."""

  start_B: jax.Array
  rotation: tuple[jax.Array, jax.Array]
  masks: tuple[jax.Array, ...]


def _masks(windows, position_BxT, cache):
  """BxTxS mask of each layer of a period."""
  if cache is None:
    return tuple(
      cache_lib.causal_mask(position_BxT, position_BxT, w) for w in windows
    )
  length_B = position_BxT[:, -1] + 1
  masks = []
  for i, window in enumerate(windows):
    slots = cache.keys[i].shape[3]
    if window is not None and cache.rings[i]:
      if window + position_BxT.shape[1] > slots:
        raise ValueError(
          f'block of {position_BxT.shape[1]} tokens: the ring cache was made '
          f'for at most {slots - window}; prefill with a larger block'
        )
    key_BxS = cache_lib.slot_positions(length_B, slots)
    masks.append(cache_lib.causal_mask(position_BxT, key_BxS, window))
  return tuple(masks)


class _Period(nn.Module):
  """One period of the attention pattern: for Gemma 2 a local and a global."""

  config: Any  # GemmaConfig
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
        cfg, self.rings[i], name=f'{name}_attention'
      )(y_BxTxD, old, layer, context, context.masks[i])
      x_BxTxD += _RMSNorm(name=f'{name}_post_attention_norm')(y_BxTxD)
      y_BxTxD = _RMSNorm(name=f'{name}_pre_ffw_norm')(x_BxTxD)
      y_BxTxD = FeedForward(cfg, name=f'{name}_ffw')(y_BxTxD)
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
    return rms_norm(x_BxTxD, 1 + w_D.astype(wide(x_BxTxD.dtype)))


class _Attention(nn.Module):
  config: Any  # GemmaConfig
  ring: bool

  @nn.compact
  def __call__(self, x_BxTxD, cached, layer, context, mask_BxTxS):
    """Attends over the block itself, or over the cache it is appended to."""
    cfg = self.config
    D, N, K, H = cfg.embed_dim, cfg.num_heads, cfg.num_kv_heads, cfg.head_dim
    B, T, _ = x_BxTxD.shape
    mine = functools.partial(project, self, x_BxTxD)
    q_BxTxNxH = _rotate(mine('query', (D, N, H)), context.rotation)
    k_BxTxKxH = _rotate(mine('key', (D, K, H)), context.rotation)
    v_BxTxKxH = mine('value', (D, K, H))
    q_BxTxNxH *= (cfg.query_scalar or H) ** -0.5

    k_BxKxSxH = new_k = k_BxTxKxH.swapaxes(1, 2)
    v_BxKxSxH = new_v = v_BxTxKxH.swapaxes(1, 2)
    kv = (new_k, new_v)
    if cached is not None:
      kv = tuple(
        cache_lib.append(old, layer, new, context.start_B, self.ring)
        for old, new in zip(cached, kv, strict=True)
      )
      k_BxKxSxH, v_BxKxSxH = kv[0][layer], kv[1][layer]

    q_BxKxGxTxH = q_BxTxNxH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4)
    logits_BxKxGxTxS = jnp.einsum(
      'BKGTH,BKSH->BKGTS',
      q_BxKxGxTxH,
      k_BxKxSxH,
      preferred_element_type=wide(x_BxTxD.dtype),
    )
    logits_BxKxGxTxS = softcap(logits_BxKxGxTxS, cfg.attention_softcap)
    logits_BxKxGxTxS = jnp.where(
      mask_BxTxS[:, None, None], logits_BxKxGxTxS, MASKED
    )
    weight_BxKxGxTxS = jax.nn.softmax(logits_BxKxGxTxS).astype(cfg.dtype)
    y_BxKxGxTxH = jnp.einsum('BKGTS,BKSH->BKGTH', weight_BxKxGxTxS, v_BxKxSxH)
    y_BxTxNxH = y_BxKxGxTxH.transpose(0, 3, 1, 2, 4).reshape(B, T, N, H)
    w_NxHxD = self.param('out', nn.initializers.lecun_normal((0, 1)), (N, H, D))
    y_BxTxD = jnp.einsum('BTNH,NHD->BTD', y_BxTxNxH, w_NxHxD.astype(cfg.dtype))
    return y_BxTxD, kv


class FeedForward(nn.Module):
  """GELU-gated, of `config.embed_dim` and `config.hidden_dim`."""

  config: Any

  @nn.compact
  def __call__(self, x_BxTxD):
    """BxTxD in, BxTxD out."""
    cfg = self.config
    D, F = cfg.embed_dim, cfg.hidden_dim
    # Apart, not fused: a fused kernel sharded over its output and then split
    # costs a collective permute.
    gate_BxTxF = project(self, x_BxTxD, 'gate', (D, F))
    up_BxTxF = project(self, x_BxTxD, 'up', (D, F))
    h_BxTxF = jax.nn.gelu(gate_BxTxF, approximate=True) * up_BxTxF
    return project(self, h_BxTxF, 'down', (F, D))


def _rope(position_BxT, head_dim, base):
  """(sin, cos), each BxTx1xH/2 and float32 or wider."""
  dtype = jnp.result_type(float)
  fraction = jnp.arange(0, head_dim, 2, dtype=dtype) / head_dim
  angle = position_BxT[..., None, None].astype(dtype) / base**fraction
  return jnp.sin(angle), jnp.cos(angle)


def _rotate(x_BxTxNxH, rotation):
  sin, cos = (r.astype(wide(x_BxTxNxH.dtype)) for r in rotation)
  a, b = jnp.split(x_BxTxNxH, 2, axis=-1)
  y = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return y.astype(x_BxTxNxH.dtype)
