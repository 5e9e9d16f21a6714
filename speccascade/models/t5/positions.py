"""Bucketed relative positions, and the bias of attention that is theirs.

Shape letters are those of `speccascade.models`; W buckets, R relative
positions.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.models import tiles
from speccascade.models.t5 import config as config_lib


def buckets(bidirectional, number=32, far=128):
  """Returns the bucket of each relative position, key - query, in -far..far.

  Half of a direction's buckets hold one distance each; the others hold ranges
  that grow geometrically up to `far`. Computed in integers: a logarithm rounds
  distances on a boundary to either side.

  Args:
    bidirectional: whether half of the buckets are for keys after the query;
      otherwise such keys count as distance 0.
    number: of buckets.
    far: all distances from here on share the last bucket.

  Returns:
    int32 array of 2 * far + 1 buckets below `number`.
  """
  relative = np.arange(-far, far + 1)
  if bidirectional:
    half, distance = number // 2, np.abs(relative)
    found = _distance_buckets(half, far)[distance] + half * (relative > 0)
  else:
    found = _distance_buckets(number, far)[np.maximum(-relative, 0)]
  return found.astype(np.int32)


def _distance_buckets(number, far):
  exact = wide = number // 2
  # The i-th wide bucket starts at exact * (far / exact) ** (i / wide).
  starts = [far**i * exact ** (wide - i) for i in range(1, wide)]
  return np.array(
    [
      d if d < exact else exact + sum(d**wide >= start for start in starts)
      for d in range(far + 1)
    ]
  )


class RelativeBias(nn.Module):
  """Bias of the self-attention logits, shared by the layers of a stack."""

  config: config_lib.T5Config
  bidirectional: bool

  @nn.compact
  def __call__(self):
    """Returns bias_RxN of the R relative positions -far..far."""
    cfg = self.config
    table_WxN = self.param(
      'relative_bias',
      nn.initializers.normal(cfg.embed_dim**-0.5),
      (cfg.num_buckets, cfg.num_heads),
    )
    bucket_R = buckets(self.bidirectional, cfg.num_buckets, cfg.max_distance)
    return table_WxN[bucket_R].astype(cfg.dtype)


def spread(bias_RxN, query_BxT, key_BxS):
  """Returns bias_BxNxTxS of queries and keys at these positions."""
  relative_BxTxS = key_BxS[:, None, :] - query_BxT[:, :, None]
  far = len(bias_RxN) // 2
  at_BxTxS = jnp.clip(relative_BxTxS, -far, far) + far
  return bias_RxN[at_BxTxS].transpose(0, 3, 1, 2)


def line(bias_RxN, queries, keys):
  """Returns bias_NxR of the relative positions 1 - `queries`..`keys` - 1."""
  far = len(bias_RxN) // 2
  at_R = np.clip(np.arange(1 - queries, keys), -far, far) + far
  return bias_RxN[at_R].T


def skewed(bias_NxR, queries):
  """Returns bias_NxTxS of T queries, of which `bias_NxR` is the line.

  Whole rows are sliced: what is looked up value by value is slow on a TPU.
  """
  N, R = bias_NxR.shape
  first_T = jnp.arange(queries)[::-1]
  row = lambda first: lax.dynamic_slice(  # noqa: E731
    bias_NxR, (0, first), (N, R + 1 - queries)
  )
  return tiles.in_order(jax.vmap(row, out_axes=1)(first_T))
