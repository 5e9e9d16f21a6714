"""Makes parameters, whole or sharded, of what is read of their tensors.

A box is cast, tested and laid out in the host's buffers of the shards that have
a part of it. A shard goes to its devices as soon as it is full.
"""

import collections
import gc
import math
from collections.abc import Iterable

import jax
import numpy as np

from speccascade.checkpoints import layout, opened, values
from speccascade.checkpoints import tensors as tensors_lib

_ROWS = 128  # That are laid out at a time: a core's cache holds them.


def assemble(
  source: opened.Source,
  boxes: Iterable[tuple[tensors_lib.Box, np.ndarray]],
  sharding: jax.sharding.NamedSharding | None,
  dtype: str,
) -> jax.Array:
  """Makes a parameter of the boxes of its tensor.

  Args:
    source: what it is read from.
    boxes: (box, values) pairs that cover it, in any order.
    sharding: of the parameter; None is one device.
    dtype: of the parameter.

  Raises:
    ValueError: a value is not finite, or not in `dtype`.
  """
  own = _shards(source, sharding)
  for box, x in boxes:
    x = values.cast(source.tensor.path, source.tensor.name, x, dtype)
    for shard in own:
      shard.fill(box, x)
  arrays = [array for shard in own for array in shard.arrays]
  if sharding is None:
    return arrays[0]
  return jax.make_array_from_single_device_arrays(
    source.shape, sharding, arrays
  )


class _Shard:
  """A buffer of the host for a part of a parameter, until it is full."""

  def __init__(self, source, index, devices):
    """Of the part that `index` has, for these devices."""
    self._pattern, self._devices = source.pattern, devices
    self._region = layout.source_box(source.pattern, source.shape, index)
    self._sizes = tensors_lib.sizes(index)
    self._left = math.prod(self._sizes)
    self._buffer = None
    self.arrays = []

  def fill(self, box, x):
    """Takes what it has of a box of the tensor."""
    shared = tensors_lib.meet(box, self._region)
    if shared is None:
      return
    if self._buffer is None:
      self._buffer = np.empty(self._sizes, x.dtype)
    view = layout.source_view(self._pattern, self._buffer)
    part = x[tensors_lib.within(shared, box)]
    _copy(part, view[tensors_lib.within(shared, self._region)])
    self._left -= part.size
    if not self._left:
      self.arrays = [
        jax.device_put(self._buffer, device, may_alias=False)
        for device in self._devices
      ]
      jax.block_until_ready(self.arrays)
      self._buffer = None
      gc.collect(0)  # Whereupon JAX lets the buffer go.


def _shards(source, sharding):
  """Returns the shards that this process holds."""
  if sharding is None:
    return [_Shard(source, tensors_lib.everything(source.shape), [None])]
  devices = collections.defaultdict(list)
  indices = sharding.addressable_devices_indices_map(source.shape)
  for device, index in indices.items():
    spans = tuple(
      x.indices(size)[:2] for x, size in zip(index, source.shape, strict=True)
    )
    devices[spans].append(device)
  return [
    _Shard(source, tuple(slice(*span) for span in spans), owners)
    for spans, owners in devices.items()
  ]


def _copy(x, view):
  """Copies an array into a view of another layout."""
  bits = f'u{x.itemsize}'  # Faster than types that are not of numpy.
  x, view = np.atleast_1d(x.view(bits)), np.atleast_1d(view.view(bits))
  for i in range(0, len(view), _ROWS):
    view[i : i + _ROWS] = x[i : i + _ROWS]
