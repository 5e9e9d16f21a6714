"""Attention of a decoder, and where its tokens stand.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import common, products, short, tiles
from speccascade.models.decoder import config as config_lib


@dataclasses.dataclass(frozen=True)
class Context:
  """Inputs that all layers share; B is 1 where rows are at one position."""

  position_BxT: jax.Array
  longest: jax.Array  # tokens of the longest row, the block included
  rotations: dict  # (sin, cos) by kind
  write: Callable  # (stack, layer, new_BxKxTxH, ring) -> stack
  of_prompts: bool


def context(cfg, start_B, T, prompt_B):
  """Returns the Context of a block of T tokens.

  Args:
    cfg: configuration.
    start_B: position of each row's first.
    T: how many.
    prompt_B: as of `layers.apply`.
  """
  position_BxT = start_B[:, None] + jnp.arange(T)
  kinds = dict.fromkeys(cfg.kinds)
  rotations = {kind: _rope(position_BxT, kind) for kind in kinds}

  def write(stack_LxBxKxSxH, layer, new_BxKxTxH, ring):
    if prompt_B is None:
      return cache_lib.append(
        stack_LxBxKxSxH, layer, new_BxKxTxH, start_B, ring
      )
    (start,) = start_B
    return cache_lib.fill(
      stack_LxBxKxSxH, layer, new_BxKxTxH, start, start < prompt_B, ring
    )

  longest = start_B.max() + T
  return Context(position_BxT, longest, rotations, write, prompt_B is not None)


class Attention(nn.Module):
  """Attends, over a cache if there is one.

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
    """Attends over the block, or over the cache after appending it."""
    cfg = self.config
    D, N = cfg.embed_dim, cfg.num_heads
    K, H = self.kind.num_kv_heads, self.kind.head_dim

    heads = {'query': N, 'key': K}
    if not self.kind.keys_as_values:
      heads['value'] = K
    shapes = {name: (D, number, H) for name, number in heads.items()}
    # Else kernels are copied, but those of narrow heads: these would be turned
    # for the cache.
    keeps = context.of_prompts and not tiles.narrow(H)
    arranged = tiles.in_order if keeps else None
    made = products.project_each(self, x_BxTxD, shapes, cfg.qkv_bias, arranged)

    def normed(name, y_BxTxNxH):
      if not cfg.qk_norm:
        return y_BxTxNxH
      init = nn.initializers.constant(1 - cfg.norm_offset)
      scale_H = self.param(f'{name}_norm', init, (H,))
      return common.rms_norm(
        y_BxTxNxH, cfg.norm_epsilon, scale_H, cfg.norm_offset
      )

    q_BxTxNxH = normed('query', next(made))
    k_BxTxKxH = v_BxTxKxH = next(made)
    if not self.kind.keys_as_values:
      v_BxTxKxH = next(made)
    if cfg.value_norm:
      v_BxTxKxH = common.rms_norm(v_BxTxKxH, cfg.norm_epsilon)
    k_BxTxKxH = normed('key', k_BxTxKxH)
    inputs = q_BxTxNxH, k_BxTxKxH, v_BxTxKxH, cached
    by_default = functools.partial(self._attend, layer, context)
    if self._is_short(x_BxTxD, cached, context):
      by_kernels = functools.partial(self._attend_short, context)
      y_BxTxNxH, kv = lax.platform_dependent(
        *inputs, cuda=by_kernels, default=by_default
      )
    else:
      y_BxTxNxH, kv = by_default(*inputs)
    return products.merge_heads(self, y_BxTxNxH, D), kv

  def _attend(self, layer, context, q_BxTxNxH, k_BxTxKxH, v_BxTxKxH, cached):
    """Returns (mixed_BxTxNxH, (keys, values) of the stack, or None)."""
    cfg, position_BxT = self.config, context.position_BxT
    rotated = functools.partial(_rotate, rotation=context.rotations[self.kind])
    # Divided by heads until they are stored or compared with what is.
    by_head = functools.partial(sharding.constrain, spec=sharding.HEADS)
    q_BxTxNxH = by_head(rotated(q_BxTxNxH) * cfg.query_scale)
    kv = map(by_head, (rotated(k_BxTxKxH), v_BxTxKxH))
    kv = tuple(x_BxTxKxH.swapaxes(1, 2) for x_BxTxKxH in kv)
    adjust = lambda x: x  # noqa: E731
    if cfg.attention_cap is not None:
      adjust = functools.partial(common.softcap, cap=cfg.attention_cap)

    def attend(k_BxKxSxH, v_BxKxSxH):
      S = k_BxKxSxH.shape[2]
      key_BxS = jnp.arange(S)[None]  # Slots yet to be written are masked, too.
      if self.ring:
        end_B, slots = position_BxT[:, -1] + 1, cached[0].shape[3]
        key_BxS = cache_lib.slot_positions(end_B, slots, S)
      mask_BxTxS = cache_lib.causal_mask(
        position_BxT, key_BxS, self.kind.window
      )
      return common.attend(q_BxTxNxH, k_BxKxSxH, v_BxKxSxH, mask_BxTxS, adjust)

    if cached is None:
      return attend(*kv), None
    kv = tuple(
      context.write(old, layer, new, self.ring)
      for old, new in zip(cached, kv, strict=True)
    )
    T = q_BxTxNxH.shape[1]
    return cache_lib.read(attend, kv, layer, context.longest, T), kv

  def _is_short(self, x_BxTxD, cached, context):
    """Whether a GPU attends by a kernel of ours, in a stack of this layer."""
    if cached is None or context.of_prompts or not short.takes(x_BxTxD):
      return False
    shape = cached[0].shape
    # Devices that divide a cache would gather it for a kernel.
    whole = sharding.own_shape(shape, sharding.CACHE) == shape
    heads = self.config.num_heads // self.kind.num_kv_heads
    return whole and short.attends(
      x_BxTxD.shape[1], heads, self.kind.head_dim, len(cached[0])
    )

  def _attend_short(self, context, q_BxTxNxH, k_BxTxKxH, v_BxTxKxH, cached):
    """The same of a short block."""
    mixed_BxTxNxH, kv = short.attend(
      q_BxTxNxH,
      k_BxTxKxH,
      v_BxTxKxH,
      [x[:, :, 0] for x in context.rotations[self.kind]],
      cached,
      context.position_BxT[:, 0],
      scale=self.config.query_scale,
      cap=self.config.attention_cap,
      window=self.kind.window,
      ring=self.ring,
    )
    return mixed_BxTxNxH, tuple(kv)


def _rope(position_BxT, kind):
  """Returns (sin, cos), each BxTx1xH/2, float32 or wider."""
  dtype = jnp.result_type(float)
  fraction = jnp.arange(0, kind.head_dim, 2, dtype=dtype) / kind.head_dim
  wavelength = kind.rope_factor * kind.rope_base**fraction
  angle = position_BxT[..., None, None].astype(dtype) / wavelength
  if kind.rope_fraction < 1:
    turning = int(kind.rope_fraction * kind.head_dim // 2)
    angle = jnp.where(jnp.arange(len(fraction)) < turning, angle, 0)
  return tuple(
    sharding.constrain(x, sharding.ROTATIONS)
    for x in (jnp.sin(angle), jnp.cos(angle))
  )


def _rotate(x_BxTxNxH, rotation):
  sin, cos = (r.astype(products.wide(x_BxTxNxH.dtype)) for r in rotation)
  a, b = jnp.split(x_BxTxNxH, 2, axis=-1)
  y = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return y.astype(x_BxTxNxH.dtype)
