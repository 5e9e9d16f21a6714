"""What the layers of several families share.

Shape letters are those of `speccascade.models`.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.models import fusing, int8

_LOOKED_UP = 2**22  # Numbers of a gather, or of so many tokens:
_PART = 1024
_ROWS = 8  # Of a lone token, on a GPU.
MASKED = -2.3819763e38  # Finite, so that a fully masked row gives no NaN.


def wide(dtype):
  """Returns float32, or `dtype` if that is wider."""
  return jnp.promote_types(dtype, jnp.float32)


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


def by_token(function, x_BxT):
  """Returns function(x_BxT...), which treats tokens alike and alone.

  A GPU is given a lone token eight times. Of one row XLA makes no matrix
  product but a sum, which reads the matrix more slowly; and of a lookup a
  slice, for which it gathers a table that devices divide.
  """
  if x_BxT.shape[:2] != (1, 1):
    return function(x_BxT)

  def widened(x_1x1):
    x_1x8 = jnp.broadcast_to(x_1x1, (1, _ROWS, *x_1x1.shape[2:]))
    return function(x_1x8)[:, :1]

  return lax.platform_dependent(
    x_BxT, cuda=widened, rocm=widened, default=function
  )


def weight(module, name, init, shape):
  """Returns (w, scale) of parameter `name` of `module`; None if w is float.

  See `int8` for the shape of the scale.
  """
  w = module.param(name, init, shape)
  if w.dtype != jnp.int8:
    return w, None
  return w, module.variables['params'][int8.scale_of(name)]


def scaled(y, scale):
  """Returns a product with int8 times the scale, None of a float product."""
  if scale is None:
    return y
  return (y * scale.astype(wide(y.dtype))).astype(y.dtype)


def factors(x, w):
  """Returns x and a weight in the type of x, which are to be multiplied.

  XLA would cast an int8 weight before a loop, and hold and read it in that
  type, on all but a TPU. Here it must wait for x, which the loop makes.
  """
  if w.dtype == jnp.int8:
    x, w = lax.platform_dependent(
      x,
      w,
      tpu=lambda *both: both,
      default=lambda *x: lax.optimization_barrier(x),
    )
  return x, w.astype(x.dtype)


def _times(x, weight, axes):
  """Sums over the last axes of x and the first ones of a weight."""
  w, scale = weight
  return scaled(jnp.tensordot(*factors(x, w), axes), scale)


def project(module, x_BxTxD, name, shape, init=None):
  """Multiplies by parameter `name` of `module`, of `shape` (D, ...)."""
  init = init or nn.initializers.lecun_normal(0, tuple(range(1, len(shape))))
  w = weight(module, name, init, shape)
  return by_token(lambda x: _times(x, w, 1), x_BxTxD)


def project_each(module, x_BxTxD, shapes):
  """Yields products with several parameters, of one product if they are fused.

  Each is made when it is asked for: its random start depends on how many
  parameters `module` has by then.

  Args:
    module: that has them.
    x_BxTxD: what is multiplied.
    shapes: {name: (D, ...)}, alike but for the second axis.
  """
  fused = fusing.name_of(shapes)
  if not module.has_variable('params', fused):
    for name, shape in shapes.items():
      yield project(module, x_BxTxD, name, shape)
    return
  sizes = [shape[1] for shape in shapes.values()]
  D, _, *rest = next(iter(shapes.values()))
  y = project(module, x_BxTxD, fused, (D, sum(sizes), *rest))
  yield from jnp.split(y, np.cumsum(sizes)[:-1], axis=2)


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


def merge_heads(module, x_BxTxNxH, width):
  """Multiplies by parameter `out` of `module`: BxTxD, D of that width."""
  init = nn.initializers.lecun_normal((0, 1))
  w = weight(module, 'out', init, (*x_BxTxNxH.shape[2:], width))
  y_BxTxD = by_token(lambda x: _times(x, w, 2), x_BxTxNxH)
  return sharding.constrain(y_BxTxD, sharding.HIDDEN)


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

  B, T = sharding.own_shape(token_BxT.shape, sharding.BATCH)  # Of a device.
  part = max(_LOOKED_UP // table_VxD.shape[1], _PART)
  if B * T <= part:
    return sharding.constrain(by_token(look_up, token_BxT), sharding.HIDDEN)
  if B == len(token_BxT):
    # Token by token, in batches: gathers of rows from a table of some 8 MB a
    # chip did not fit libtpu's fast memory.
    x_BTxD = lax.map(look_up, token_BxT.reshape(-1), batch_size=part)
    x_BxTxD = x_BTxD.reshape(*token_BxT.shape, -1)
  elif B > part:
    x_BTx1xD = lax.map(look_up, token_BxT.reshape(-1, 1), batch_size=part)
    x_BxTxD = x_BTx1xD.reshape(*token_BxT.shape, -1)
  else:
    x_TxBxD = lax.map(look_up, token_BxT.T, batch_size=part // B)
    x_BxTxD = x_TxBxD.swapaxes(0, 1)
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

  def times(x_BxTxD):
    logits_BxTxV = jnp.einsum(
      'BTD,VD->BTV',
      *factors(x_BxTxD, table['table_VxD']),
      preferred_element_type=wide(x_BxTxD.dtype),
    )
    return scaled(logits_BxTxV, scale_V)

  logits_BxTxV = by_token(times, x_BxTxD)
  return sharding.constrain(logits_BxTxV, sharding.LOGITS)


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
      h_BxTxF, gate_BxTxF = project_each(self, x_BxTxD, shapes)
      h_BxTxF *= activate(gate_BxTxF)
    else:
      h_BxTxF = activate(project(self, x_BxTxD, 'up', (D, F)))
    y_BxTxD = project(self, h_BxTxF, 'down', (F, D))
    return sharding.constrain(y_BxTxD, sharding.HIDDEN)
