"""From probabilities to tokens: draws, acceptance and the residual.

Letters: V vocabulary.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding

_DEVICES = 64  # Over which a vocabulary may be divided.


def draw(weight, u):
  """Inverse-CDF draw of one index from non-negative weights.

  Two levels, blocks and then tokens of the block, so that a large sharded V
  needs one exchange of the order of sqrt(V). Each has a uniform of its own: in
  float32 what the first leaves of one has too few bits for the second.

  Args:
    weight: [..., V], not necessarily normalised, some positive.
    u: [..., 2] uniforms in [0, 1).

  Returns:
    [...] int32 indices, always of positive weight.
  """
  blocks = split(weight)
  block = invert(blocks.sum(-1), u[..., 0])
  chosen = jax.nn.one_hot(block, blocks.shape[-2], dtype=weight.dtype)
  within = invert((blocks * chosen[..., None]).sum(-2), u[..., 1])
  return jnp.minimum(block * blocks.shape[-1] + within, weight.shape[-1] - 1)


def split(weight):
  """Weights [..., V] as blocks [..., about sqrt(V), about sqrt(V)]."""
  V = weight.shape[-1]
  width = _block_width(V)
  pad = [(0, 0)] * (weight.ndim - 1) + [(0, -V % width)]
  return jnp.pad(weight, pad).reshape(*weight.shape[:-1], -1, width)


def invert(weight, u):
  """First positive index whose running sum passes a share of the whole.

  Args:
    weight: [..., W] non-negative weights.
    u: [...] the share, in [0, 1).

  Returns:
    [...] int32 indices. Rounding may leave the last sum at the share: then
    the last positive one.
  """
  weight = sharding.whole(weight)
  index = jnp.arange(weight.shape[-1], dtype=jnp.int32)
  positive = weight > 0
  threshold = u.astype(weight.dtype) * weight.sum(-1)
  passes = positive & (_running_sum(weight) > threshold[..., None])
  first = jnp.where(passes, index, weight.shape[-1]).min(-1)
  return jnp.minimum(first, jnp.where(positive, index, 0).max(-1))


def _running_sum(x):
  """As `cumsum` over the last axis, in one order of addition everywhere.

  Of `cumsum` newer JAX makes a scan on a GPU, which on a mesh is a loop over
  all numbers.
  """
  *rest, W = x.shape
  window = (*[1] * len(rest), W)
  pad = (*[(0, 0)] * len(rest), (W - 1, 0))
  return lax.reduce_window(
    x, x.dtype.type(0), lax.add, window, (1,) * x.ndim, pad
  )


def accepts(token, u, pi, q):
  """Whether a draft x ~ q is kept: u < pi(x) / q(x), without the division.

  Args:
    token: [...] drafted tokens.
    u: [...] uniforms.
    pi: [..., V] target.
    q: [..., V] what the tokens were drawn from.
  """
  pi_x, q_x = (
    jnp.take_along_axis(x, token[..., None], -1)[..., 0] for x in (pi, q)
  )
  return u.astype(q.dtype) * q_x < pi_x


def residual(pi, q):
  """Weights of a rejected position's token: max(0, pi - q), unnormalised.

  pi itself where rounding left no residual.
  """
  rest = jnp.maximum(pi - q, 0)
  return jnp.where(rest.sum(-1, keepdims=True) > 0, rest, pi)


def _block_width(V):
  """A divisor of V near sqrt(V) if there is one within a factor of 4.

  One that leaves a multiple of `_DEVICES` blocks if there is one, or of as
  large a power of two as there is: devices then hold whole blocks.
  """
  root = max(1, round(V**0.5))
  divisors = [d for d in range(1, 4 * root) if V % d == 0 and 4 * d >= root]
  return min(
    divisors,
    key=lambda d: (-math.gcd(V // d, _DEVICES), abs(math.log(d / root))),
    default=root,
  )
