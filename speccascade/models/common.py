"""What the layers of several families share.

Shape letters are those of `speccascade.models`.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.models import products, short
from speccascade.models.products import wide

_LOOKED_UP = 2**22  # Numbers of a gather, or of so many tokens:
_PART = 1024
_FEW = 512  # Tokens of a TPU's gather from a table of fewer bytes than:
_SMALL = 2**25
MASKED = -2.3819763e38  # Finite, so that a fully masked row gives no NaN.


def softcap(x, cap):
  """Maps x smoothly into (-cap, cap)."""
  return cap * jnp.tanh(x / cap)


class RMSNorm(nn.Module):
  """Divides by the root mean square over the last axis, then scales.

  Attributes:
    epsilon: added to the mean square.
    offset: added to the parameter `scale`, 0 or 1.
  """

  epsilon: float
  offset: int = 0

  @nn.compact
  def __call__(self, x):
    """Maps an array of any shape to one of that shape."""
    init = nn.initializers.constant(1 - self.offset)
    scale = self.param('scale', init, x.shape[-1:])
    return rms_norm(x, self.epsilon, scale, self.offset)


def rms_norm(x, epsilon, scale=1.0, offset=0):
  """Divides by the root mean square over the last axis, then scales."""
  y = x.astype(wide(x.dtype))
  y *= jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + epsilon)
  return (y * (offset + jnp.asarray(scale, y.dtype))).astype(x.dtype)


class Scale(nn.Module):
  """The scale of a norm whose sum `join` takes.

  Attributes:
    offset: as of `RMSNorm`, as whose parameter it starts and is named.
  """

  offset: int

  @nn.compact
  def __call__(self, width):
    """Returns scale_D of that width."""
    init = nn.initializers.constant(1 - self.offset)
    return self.param('scale', init, (width,))


def join(x, y, after, before, *, epsilon, offset, kept):
  """Adds a branch to the residual stream, and takes the norm of the sum.

  Args:
    x: BxTxD.
    y: the branch, or None.
    after: scale_D of the norm of the branch; None if it has none.
    before: scale_D of the norm of the sum; None if none is asked for.
    epsilon: added to mean squares.
    offset: added to scales.
    kept: whether a cache keeps what the layer makes of x.

  Returns:
    (the sum, its norm or None).
  """
  norms = {'epsilon': epsilon, 'offset': offset}

  def plain(x, y, after, before):
    if after is not None:
      y = rms_norm(y, scale=after, **norms)
    if y is not None:
      x += y
    return x, before if before is None else rms_norm(x, scale=before, **norms)

  args = x, y, after, before
  # To add alone is left to the product that makes y.
  if not kept or not short.takes(x) or after is before is None:
    return plain(*args)
  cuda = functools.partial(short.join, **norms)
  return lax.platform_dependent(*args, cuda=cuda, default=plain)


def attend(q_BxTxNxH, k_BxKxSxH, v_BxKxSxH, mask_BxTxS, adjust=lambda x: x):
  """Attends with softmax in float32 or wider.

  Args:
    q_BxTxNxH: queries, scaled.
    k_BxKxSxH: keys.
    v_BxKxSxH: values.
    mask_BxTxS: which keys each query sees; B and T may be 1.
    adjust: maps logits_BxNxTxS before they are masked.

  Returns:
    mixed_BxTxNxH.
  """
  B, T, N, H = q_BxTxNxH.shape
  K, S = k_BxKxSxH.shape[1:3]
  # One axis of queries, after the axes that both have: with any other, XLA's
  # CPU backend copies the keys, and does not multiply bfloat16.
  q_BxKxQTxH = sharding.by_cache(q_BxTxNxH.swapaxes(1, 2).reshape(B, K, -1, H))
  logits_BxKxQTxS = jnp.einsum(
    'BKTH,BKSH->BKTS',
    q_BxKxQTxH,
    k_BxKxSxH,
    preferred_element_type=wide(q_BxTxNxH.dtype),
  )
  logits_BxNxTxS = logits_BxKxQTxS.reshape(B, N, T, S)
  logits_BxNxTxS = jnp.where(
    mask_BxTxS[:, None], adjust(logits_BxNxTxS), MASKED
  )
  weight_BxNxTxS = jax.nn.softmax(logits_BxNxTxS).astype(q_BxTxNxH.dtype)
  mixed_BxKxQTxH = sharding.by_cache(
    weight_BxNxTxS.reshape(B, K, -1, S) @ v_BxKxSxH
  )
  mixed_BxTxNxH = mixed_BxKxQTxH.reshape(B, N, T, H).swapaxes(1, 2)
  return sharding.constrain(mixed_BxTxNxH, sharding.HEADS)


def uncached(run, partition, again):
  """Returns a layer of a pass without a cache, as training runs it.

  Its parameters are gathered where it begins.

  Args:
    run: (params, x_BxTxD) -> what the layer returns.
    partition: PartitionSpec of each parameter, by the last part of its name.
    again: whether the gradient gathers and computes the layer again, so that
      of all layers only the inputs are held.
  """

  def gathered(params, x_BxTxD):
    params = sharding.gather(params, partition)
    return run(params, sharding.constrain(x_BxTxD, sharding.HIDDEN))

  return jax.checkpoint(gathered) if again else gathered


def chosen(x_BxTxD, at_B):
  """Returns x_Bx1xD of one token of each row; of all where `at_B` is None."""
  if at_B is None:
    return x_BxTxD
  return jnp.take_along_axis(x_BxTxD, at_B[:, None, None], 1)


def embed(token_BxT, table_VxD, dtype, scale_V=None):
  """Returns x_BxTxD, the rows of a table that tokens ask for.

  Many tokens are looked up in parts: libtpu has no room for more at a time.
  Where devices divide the rows, a part is of all rows if it can be: each looks
  up the tokens of its own.

  Args:
    token_BxT: int32 tokens.
    table_VxD: float, or int8.
    dtype: of what is returned.
    scale_V: of an int8 table.
  """

  def look_up(token):
    if scale_V is not None:
      scale = scale_V[token][..., None].astype(wide(dtype))
      return (rows(token) * scale).astype(dtype)
    # Cast after the gather: its gradient is then summed in float32.
    return table_VxD[token].astype(dtype)

  def rows(token):
    found = table_VxD[token]
    if token.ndim < 2:
      return found
    # Else devices would gather what they scaled a part of each.
    return sharding.constrain(found, sharding.HIDDEN)

  def at_once(token_BxT):
    return products.by_token(look_up, token_BxT)

  def in_parts(part, token_BxT):
    if B == len(token_BxT):
      # Token by token, in batches: gathers of rows from a table of some 8 MB a
      # chip did not fit libtpu's fast memory.
      x_BTxD = lax.map(look_up, token_BxT.reshape(-1), batch_size=part)
      return x_BTxD.reshape(*token_BxT.shape, -1)
    if B > part:
      x_BTx1xD = lax.map(look_up, token_BxT.reshape(-1, 1), batch_size=part)
      return x_BTx1xD.reshape(*token_BxT.shape, -1)
    x_TxBxD = lax.map(look_up, token_BxT.T, batch_size=part // B)
    return x_TxBxD.swapaxes(0, 1)

  B, T = sharding.own_shape(token_BxT.shape, sharding.BATCH)  # Of a device.
  part = max(_LOOKED_UP // table_VxD.shape[1], _PART)
  table = sharding.own_shape(table_VxD.shape, sharding.TABLE)
  if B * T > part:
    x_BxTxD = in_parts(part, token_BxT)
  elif B * T > _FEW and math.prod(table) * table_VxD.dtype.itemsize < _SMALL:
    # libtpu takes two such tables into its fast memory at once, but in loops.
    x_BxTxD = lax.platform_dependent(
      token_BxT, tpu=functools.partial(in_parts, _FEW), default=at_once
    )
  else:
    x_BxTxD = at_once(token_BxT)
  return sharding.constrain(x_BxTxD, sharding.HIDDEN)


def unembed(x_BxTxD, table_VxD, scale_V=None):
  """Returns logits_BxTxV, float32 or wider, sharded as the table over V.

  Args:
    x_BxTxD: what is unembedded.
    table_VxD: float, or int8.
    scale_V: of an int8 table.
  """
  if scale_V is None:
    table_VxD = table_VxD.astype(x_BxTxD.dtype)
  table = {'table_VxD': table_VxD}
  table = sharding.gather(table, {'table_VxD': sharding.TABLE})

  def times(x_BxTxD, table_VxD):
    logits_BxTxV = jnp.einsum(
      'BTD,VD->BTV',
      *products.factors(x_BxTxD, table_VxD),
      preferred_element_type=wide(x_BxTxD.dtype),
    )
    return products.scaled(logits_BxTxV, scale_V)

  logits_BxTxV = products.times_rows(
    times, x_BxTxD, table['table_VxD'], scale_V
  )
  return sharding.constrain(logits_BxTxV, sharding.LOGITS)


def made_once(x):
  """Returns x, which a TPU does not compute again for each of its uses.

  Where memory is scarce its compiler would, of logits by reading the whole
  table each time.
  """
  return lax.platform_dependent(
    x, tpu=lax.optimization_barrier, default=lambda x: x
  )


ACTIVATIONS = {
  'gelu': functools.partial(jax.nn.gelu, approximate=True),
  'relu': jax.nn.relu,
  'silu': jax.nn.silu,
}


class FeedForward(nn.Module):
  """Two projections and an activation between them, gated or not.

  Attributes:
    width: F.
    activation: a name of `ACTIVATIONS`.
    gated: whether the activation is that of a third projection, a gate.
  """

  width: int
  activation: str
  gated: bool = True

  @nn.compact
  def __call__(self, x_BxTxD):
    """Maps BxTxD to BxTxD."""
    D, F = x_BxTxD.shape[-1], self.width
    activate = ACTIVATIONS[self.activation]
    if self.gated:
      shapes = {'up': (D, F), 'gate': (D, F)}
      h_BxTxF, gate_BxTxF = products.project_each(self, x_BxTxD, shapes)
      h_BxTxF *= activate(gate_BxTxF)
    else:
      h_BxTxF = activate(products.project(self, x_BxTxD, 'up', (D, F)))
    y_BxTxD = products.project(self, h_BxTxF, 'down', (F, D))
    return sharding.constrain(y_BxTxD, sharding.HIDDEN)
