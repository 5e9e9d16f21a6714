"""Tensors in files: what is known of them before they are read.

A box is a slice an axis, each with a start and a stop. A tensor is read a box
at a time, which bounds what is in memory of a model of any size.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
from etils import epath

Box = tuple[slice, ...]

_BYTES = 2**24  # Most that is read at a time, unless a file is made of more.

# What a model may be stored in, by its name in safetensors files.
DTYPES = {
  'BF16': np.dtype(jnp.bfloat16),
  'F16': np.dtype(np.float16),
  'F32': np.dtype(np.float32),
  'F64': np.dtype(np.float64),
}


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A tensor in a file.

  Attributes:
    name: as the file has it.
    path: the file, or the folder of an array that is spread over files.
    shape: sizes of its axes.
    dtype: its type, one of `DTYPES`; of any other, its name.
    grain: sizes of the boxes that it is best read in.
    fetch: reads a box.
  """

  name: str
  path: epath.Path
  shape: tuple[int, ...]
  dtype: np.dtype | str
  grain: tuple[int, ...]
  fetch: Callable[[Box], np.ndarray]

  def boxes(self, region: Box) -> Iterator[Box]:
    """Yields the boxes that a region is best read in, in the file's order."""
    axes = [
      [slice(max(x.start, i), min(x.stop, i + g)) for i in _starts(x, g)]
      for x, g in zip(region, self.grain, strict=True)
    ]
    return itertools.product(*axes)

  def read(self, index: Box) -> np.ndarray:
    """Reads x[index]; of its slices, one an axis, none has a step.

    Raises:
      ValueError: it is of a type that is not in `DTYPES`, or damaged.
    """
    if isinstance(self.dtype, str):
      raise ValueError(
        f'{self.path}: tensor {self.name!r} is of type {self.dtype}, a '
        f'checkpoint holds {", ".join(DTYPES)}; save the model again'
      )
    pairs = zip(index, self.shape, strict=True)
    region = tuple(slice(*x.indices(size)[:2]) for x, size in pairs)
    found = np.empty(sizes(region), self.dtype)
    for box in self.boxes(region):
      found[within(box, region)] = self.fetch(box)
    return found

  def __array__(self, dtype=None, copy=None):
    """Reads all of it, for `np.asarray`."""
    del dtype, copy
    return self.read(everything(self.shape))


def held(name: str, path: epath.Path, x: np.ndarray) -> Tensor:
  """Returns the handle of a tensor that was read."""
  x = np.asarray(x)
  known = x.dtype in DTYPES.values()
  return Tensor(
    name=name,
    path=path,
    shape=x.shape,
    dtype=x.dtype if known else str(x.dtype),
    grain=grain(x.shape, x.itemsize),
    fetch=x.__getitem__,
  )


def everything(shape: tuple[int, ...]) -> Box:
  """Returns the box of a whole tensor."""
  return tuple(slice(0, size) for size in shape)


def sizes(box: Box) -> tuple[int, ...]:
  """Returns the shape of a box."""
  return tuple(x.stop - x.start for x in box)


def within(box: Box, region: Box) -> Box:
  """Returns a box as counted from the start of a region."""
  return tuple(
    slice(x.start - y.start, x.stop - y.start)
    for x, y in zip(box, region, strict=True)
  )


def meet(a: Box, b: Box) -> Box | None:
  """Returns what two boxes share; None if that is nothing."""
  shared = tuple(
    slice(max(x.start, y.start), min(x.stop, y.stop))
    for x, y in zip(a, b, strict=True)
  )
  return shared if all(x.start < x.stop for x in shared) else None


def grain(
  shape: tuple[int, ...], itemsize: int, least: tuple[int, ...] | None = None
) -> tuple[int, ...]:
  """Returns the sizes of the boxes that a tensor is best read in.

  With `least` None, such a box is a run of bytes in row-major order.

  Args:
    shape: of the tensor.
    itemsize: bytes of a value.
    least: sizes of the chunks that the file is made of; None is one value.
  """
  found = list(least or (1,) * len(shape))
  for axis in reversed(range(len(shape))):
    times = _BYTES // (itemsize * max(1, math.prod(found)))
    found[axis] = max(1, min(shape[axis], found[axis] * max(1, times)))
    if least is None and found[axis] < shape[axis]:
      break
  return tuple(found)


def _starts(region, size):
  """Where the boxes of a grid begin that have a part of a region."""
  return range(region.start // size * size, region.stop, size)
