"""Products with parameters: projections, and of one token on a GPU.

Shape letters are those of `speccascade.models`.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.models import fusing, int8

_EIGHT = 8  # Rows that a GPU is given of a lone token.


def wide(dtype):
  """Returns float32, or `dtype` if that is wider."""
  return jnp.promote_types(dtype, jnp.float32)


def by_token(function, x_BxT):
  """Returns function(x_BxT...), which treats tokens alike and alone.

  A GPU is given a lone token eight times. Of one row XLA makes no matrix
  product but a sum, which reads the matrix more slowly; and of a lookup a
  slice, for which it gathers a table that devices divide.
  """
  if x_BxT.shape[:2] != (1, 1):
    return function(x_BxT)

  def widened(x_1x1):
    x_1x8 = jnp.broadcast_to(x_1x1, (1, _EIGHT, *x_1x1.shape[2:]))
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
  """Sums over axes as `tensordot` does."""
  w, scale = weight
  return scaled(jnp.tensordot(*factors(x, w), axes), scale)


def times_rows(product, x, w, scale=None, inputs=1, dtype=None):
  """Multiplies by a weight of outputs by inputs, each output's in a row.

  A lone token is summed by a GPU, which so reads the weight faster than by one
  of XLA's products.

  Args:
    product: (x, w) -> the product, scaled.
    x: BxTx..., of as many more axes as are summed over.
    w: float, or int8.
    scale: of an int8 weight.
    inputs: how many axes are summed over, the last ones of both.
    dtype: of the product; None is float32 or wider.
  """
  if x.shape[:2] != (1, 1):
    return product(x, w)
  own = wide(x.dtype)

  def sums(x, w):
    x, w = (y.astype(own) for y in factors(x, w))
    axes = tuple(range(-inputs, 0))
    y = scaled((x[0, 0] * w).sum(axes), scale)
    return y[None, None].astype(dtype or own)

  return lax.platform_dependent(x, w, cuda=sums, rocm=sums, default=product)


def _multiply(module, x, name, shape, inputs, init):
  """Multiplies by a parameter; sums over the first axes of `shape`."""
  rows = fusing.rows_of(name)
  if not module.has_variable('params', rows):
    own = weight(module, name, init, shape)
    return by_token(lambda x: _times(x, own, inputs), x)
  w, scale = weight(module, rows, init, (*shape[inputs:], *shape[:inputs]))
  last = tuple(range(-inputs, 0))

  def product(x, w):
    return _times(x, (w, scale), (last, last))

  return times_rows(product, x, w, scale, inputs, x.dtype)


def project(module, x_BxTxD, name, shape, init=None):
  """Multiplies by parameter `name` of `module`, of `shape` (D, ...)."""
  init = init or nn.initializers.lecun_normal(0, tuple(range(1, len(shape))))
  return _multiply(module, x_BxTxD, name, shape, 1, init)


def project_each(module, x_BxTxD, shapes, biased=False, arranged=None):
  """Yields products with several parameters, of one product if they are fused.

  Each is made when it is asked for: its random start depends on how many
  parameters `module` has by then.

  Args:
    module: that has them.
    x_BxTxD: what is multiplied.
    shapes: {name: (D, ...)}, alike but for the second axis.
    biased: whether a parameter `<name>_bias` is added to each.
    arranged: y -> y, what is done to a product before; None for nothing.
  """

  def made(name, names):
    D, _, *rest = shapes[names[0]]
    size = sum(shapes[n][1] for n in names)
    y = project(module, x_BxTxD, name, (D, size, *rest))
    if arranged is not None:
      y = arranged(y)
    if not biased:
      return y
    zeros = nn.initializers.zeros
    each = [module.param(f'{n}_bias', zeros, shapes[n][1:]) for n in names]
    return y + jnp.concatenate(each).astype(y.dtype)

  fused = fusing.name_of(shapes)
  names = fused, fusing.rows_of(fused)
  if not any(module.has_variable('params', name) for name in names):
    for name in shapes:
      yield made(name, [name])
    return
  ends = np.cumsum([shape[1] for shape in shapes.values()])
  yield from jnp.split(made(fused, [*shapes]), ends[:-1], axis=2)


def merge_heads(module, x_BxTxNxH, width):
  """Multiplies by parameter `out` of `module`: BxTxD, D of that width."""
  init = nn.initializers.lecun_normal((0, 1))
  shape = *x_BxTxNxH.shape[2:], width
  y_BxTxD = _multiply(module, x_BxTxNxH, 'out', shape, 2, init)
  return sharding.constrain(y_BxTxD, sharding.HIDDEN)
