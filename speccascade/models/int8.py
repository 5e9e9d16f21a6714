"""Weights in int8, symmetric, with a float32 scale for each channel.

Of a kernel, an output channel has one scale; of a table, a row. Parameter
`query` is then int8 and has `query_scale` beside it: w is near query *
query_scale. What products do not read whole, such as norms, biases and relative
positions, stays as it is.

A product is taken with the int8 numbers, in the type of its other side, and
then scaled: what is read from memory is int8.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

NAME = 'int8'
_LARGEST = 127
_SUFFIX = '_scale'

# The axes of each parameter that a product sums over, from its last one.
_SUMMED = {
  'embedding': (-1,),  # VxD
  'lm_head': (-1,),  # VxD
  'query': (-3,),  # DxNxH
  'key': (-3,),  # DxKxH
  'value': (-3,),  # DxKxH
  'query_key_value': (-3,),  # Dx(N+2K)xH
  'query_key': (-3,),  # Dx(N+K)xH
  'out': (-3, -2),  # NxHxD
  'gate': (-2,),  # DxF
  'up': (-2,),  # DxF
  'up_gate': (-2,),  # Dx2F
  'down': (-2,),  # FxD
  'query_key_value_rows': (-1,),  # (N+2K)xHxD
  'query_key_rows': (-1,),  # (N+K)xHxD
  'out_rows': (-2, -1),  # DxNxH
  'up_gate_rows': (-1,),  # 2FxD
  'down_rows': (-1,),  # DxF
}


def check(weights: str | None, name: str = 'weights') -> None:
  """Raises ValueError unless `weights` is a choice: None or 'int8'."""
  if weights not in (None, NAME):
    raise ValueError(f'{name}={weights!r} must be None or {NAME!r}')


def is_quantised(name: str) -> bool:
  """Whether a parameter becomes int8, by its name, of which the last part."""
  return name.split('.')[-1] in _SUMMED


def scale_of(name: str) -> str:
  """Returns the name of a parameter's scale."""
  return f'{name}{_SUFFIX}'


def scale_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the shape of a parameter's scale."""
  return tuple(_kept(name, shape))


def _kept(name, axes):
  """What there is of each axis, without those that are summed over."""
  summed = [len(axes) + i for i in _SUMMED[name.split('.')[-1]]]
  return [x for i, x in enumerate(axes) if i not in summed]


def quantise(name: str, w: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Quantises a parameter.

  Args:
    name: of the parameter; `is_quantised` holds.
    w: the parameter, of one layer or of a stack of them.

  Returns:
    (q, scale): q is int8 in w's shape, scale float32 in `scale_shape`. With the
    scale on the axes that it has, |w - scale * q| is at most scale / 2.
  """
  axes = _SUMMED[name.split('.')[-1]]
  w = w.astype(jnp.promote_types(w.dtype, jnp.float32))
  largest = jnp.abs(w).max(axes, keepdims=True)
  scale = (largest / _LARGEST).astype(jnp.float32)
  # A channel of zeros, such as that of a piece that never occurred, stays zero.
  q = jnp.round(w / jnp.where(scale > 0, scale, 1))
  q = jnp.clip(q, -_LARGEST, _LARGEST).astype(jnp.int8)
  return q, scale.squeeze(axes)


def quantised(params: Mapping[str, Any]) -> dict[str, Any]:
  """Returns parameters with int8 kernels and tables, and their scales."""
  found = {}
  for name, x in params.items():
    if isinstance(x, Mapping):
      found[name] = quantised(x)
    elif is_quantised(name):
      found[name], found[scale_of(name)] = quantise(name, x)
    else:
      found[name] = x
  return found


def refuse(params: Any, what: str) -> None:
  """Raises ValueError if parameters are int8, which cannot be `what`."""
  kinds = {getattr(x, 'dtype', None) for x in jax.tree.leaves(params)}
  if jnp.dtype('int8') in kinds:
    raise ValueError(
      f'int8 weights are not {what}: load the model without int8'
    )


def partition(of: Mapping[str, P]) -> dict[str, P]:
  """Returns a family's PartitionSpecs with those of scales.

  A scale is split as the axes that it has.
  """
  found = dict(of)
  for name, spec in of.items():
    if is_quantised(name):
      found[scale_of(name)] = P(*_kept(name, spec))
  return found
