"""Casts of parameters, all of which must be finite."""

import dataclasses
from typing import Any

import numpy as np
from etils import epath

from speccascade.checkpoints import layout

_PART = 2**18  # Values that are tested at a time: a core's cache holds them.


def cast(
  path: epath.PathLike, name: str, x: np.ndarray, dtype: str
) -> np.ndarray:
  """Returns an array in another type.

  Args:
    path: file that it is of, for messages.
    name: of the tensor that it is of, for messages.
    x: the array; it is returned if it is of this type.
    dtype: type to return.

  Raises:
    ValueError: a value is not finite, or not in `dtype`.
  """
  with np.errstate(over='ignore', invalid='ignore'):
    found = x.astype(dtype, copy=False)
  if _finite(found):
    return found
  if _finite(x):
    raise ValueError(
      f'{path}: tensor {name!r} has values too large for {dtype}; use float32'
    )
  raise ValueError(
    f'{path}: tensor {name!r} has values that are NaN or infinite: its '
    'training diverged or the file is damaged; go back to a good one'
  )


@dataclasses.dataclass(frozen=True)
class Rounded:
  """A parameter as it is stored, which is made whenever it is asked for.

  Attributes:
    path: file that it is for, for messages.
    name: for messages.
    x: what `np.asarray` makes an array of.
    kind: type that it is stored in.
    pattern: of its layout; None is as it is.
  """

  path: epath.PathLike
  name: str
  x: Any
  kind: str
  pattern: str | None = None

  @property
  def shape(self) -> tuple[int, ...]:
    """As stored."""
    if self.pattern is None:
      return self.x.shape
    return layout.source_shape(self.pattern, self.x.shape)

  @property
  def dtype(self) -> np.dtype:
    """As stored."""
    return np.dtype(self.kind)

  def __array__(self, dtype=None, copy=None):
    """Makes it, for `np.asarray`."""
    del dtype, copy
    x = cast(self.path, self.name, np.asarray(self.x), self.kind)
    return x if self.pattern is None else layout.source_view(self.pattern, x)


def _finite(x):
  """Whether all values are: by their bits, which is fast in every type."""
  bits = np.ascontiguousarray(x).reshape(-1).view(f'u{x.itemsize}')
  infinity = np.array(np.inf, x.dtype).view(bits.dtype)
  unsigned = np.iinfo(bits.dtype).max >> 1
  return all(
    (bits[i : i + _PART] & unsigned).max() < infinity
    for i in range(0, bits.size, _PART)
  )
