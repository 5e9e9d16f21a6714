"""What the layers of several families share.

Shape letters are those of `speccascade.models`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

MASKED = -2.3819763e38  # Finite, so that a fully masked row gives no NaN.


def wide(dtype):
  """Returns float32, or `dtype` if that is wider."""
  return jnp.promote_types(dtype, jnp.float32)


def softcap(x, cap):
  """Maps x smoothly into (-cap, cap)."""
  return cap * jnp.tanh(x / cap)


def rms_norm(x_BxTxD, scale_D):
  """Divides rows by their root mean square and multiplies by `scale_D`."""
  x = x_BxTxD.astype(wide(x_BxTxD.dtype))
  x *= jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6)
  return (x * scale_D.astype(x.dtype)).astype(x_BxTxD.dtype)


def project(module, x_BxTxD, name, shape, init=None):
  """Multiplies by parameter `name` of `module`, of `shape` (D, ...)."""
  init = init or nn.initializers.lecun_normal(0, tuple(range(1, len(shape))))
  w = module.param(name, init, shape).astype(x_BxTxD.dtype)
  return jnp.tensordot(x_BxTxD, w, 1)


class FeedForward(nn.Module):
  """GELU-gated, of widths `config.embed_dim` and `config.hidden_dim`."""

  config: Any

  @nn.compact
  def __call__(self, x_BxTxD):
    """Maps BxTxD to BxTxD."""
    cfg = self.config
    D, F = cfg.embed_dim, cfg.hidden_dim
    # Apart, not fused: a fused kernel that is sharded over its output and
    # then split costs a collective permute.
    gate_BxTxF = project(self, x_BxTxD, 'gate', (D, F))
    up_BxTxF = project(self, x_BxTxD, 'up', (D, F))
    h_BxTxF = jax.nn.gelu(gate_BxTxF, approximate=True) * up_BxTxF
    return project(self, h_BxTxF, 'down', (F, D))
