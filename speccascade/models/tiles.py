"""How the arrays of attention lie in a TPU's memory.

It keeps the last two axes of an array in tiles of 8 by 128 numbers, and fills
the rest of a tile with nothing. Heads of fewer than 128 would take as much as
heads of 128, and as long to read: kernels, keys and values lie with another
axis along the tiles, where that fills them better.

Shape letters are those of `speccascade.models`.
"""

from typing import Any

import jax
from jax.experimental import layout as jax_layout

_ROWS, _LANES = 8, 128  # Of a tile.
_BY_HEAD = ('query', 'key', 'value')  # Kernels DxNxH.


def narrow(width: int) -> bool:
  """Whether heads of so many numbers are narrower than a tile."""
  return width < _LANES


def in_order(x: jax.Array) -> jax.Array:
  """Lays x out in memory in the order of its axes on a TPU; else returns x."""
  return _constrained(x, tuple(range(x.ndim)))


def in_tiles(x: jax.Array, slots: int) -> jax.Array:
  """Lays keys or values, ...xSxH, out on a TPU; else returns x.

  In the order of their axes, but S along a tile where that fills tiles better:
  so does the compiler what a program hands to the next.

  Args:
    x: array.
    slots: S of the stack that x is, or is of.
  """
  *before, S, H = range(x.ndim)
  width = x.shape[H]
  if _padded(width, slots) < _padded(slots, width):
    return _constrained(x, (*before, H, S))
  return in_order(x)


def _padded(rows, lanes):
  """Numbers that a TPU holds of so many rows of so many."""
  return -(-rows // _ROWS) * _ROWS * -(-lanes // _LANES) * _LANES


def _constrained(x, axes):
  def constrain(x):
    order = jax_layout.Layout(axes)
    return jax_layout.with_layout_constraint(x, order)

  return jax.lax.platform_dependent(x, tpu=constrain, default=lambda x: x)


def laid_out(name: str, x: Any, platform: str = 'tpu') -> Any:
  """Lays a parameter out in memory as the programs of its devices read it.

  A TPU reads the kernels DxNxH of attention head by head. Laid out otherwise, a
  program would begin with a copy of each, and hold it. Where heads are narrow,
  D lies along a tile.

  Args:
    name: the last part of the parameter's name.
    x: array, or ShapeDtypeStruct of one that is placed; an array is consumed.
    platform: of the devices that read so.

  Returns:
    x in that layout; as it is on other devices.
  """
  if name not in _BY_HEAD or _platform(x) != platform:
    return x
  *stack, width, heads, head = range(x.ndim)
  within = (head, width) if narrow(x.shape[head]) else (width, head)
  order = jax_layout.Layout((*stack, heads, *within))
  placed = jax_layout.Format(order, x.sharding)
  if isinstance(x, jax.ShapeDtypeStruct):
    return x.update(sharding=placed)
  return jax.device_put(x, placed, donate=True)


def _platform(x):
  return next(iter(x.sharding.device_set)).platform
