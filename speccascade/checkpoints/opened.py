"""A checkpoint that was opened and not read: its parts, and how they fit.

All that can be told without the weights is told before one is read.
"""

import dataclasses
import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from flax import traverse_util

from speccascade.checkpoints import layout
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.models import base, registry
from speccascade.sampling import keys

_SHOWN = 3  # Names of each kind in a message.


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A model on disk.

  Attributes:
    path: its file or folder.
    config: its configuration, of the type that it will compute in.
    tensors: by their names.
    names: their name and the pattern of each parameter by its own name; see
      `layout`. None if the file has the parameters as they are.
    ignored: regular expressions of tensors that the model does not need.
    header: what is hashed before the tensors.
    checksum: SHA-256 that the checkpoint tells of header and tensors, if any.
    stored: configuration of all that is stored, where less of it is wanted.
  """

  path: epath.Path
  config: base.Config
  tensors: Mapping[str, tensors_lib.Tensor]
  names: Mapping[str, tuple[str, str]] | None
  ignored: tuple[str, ...] = ()
  header: bytes = b''
  checksum: str | None = None
  stored: base.Config | None = None

  @property
  def size(self) -> int:
    """Number of parameters."""
    return sum(map(math.prod, _shapes(self.config).values()))


@dataclasses.dataclass(frozen=True)
class Source:
  """What a parameter is read from.

  Attributes:
    tensor: of the checkpoint.
    pattern: how it becomes the parameter; see `layout`.
    shape: of the parameter.
    stored: shape that the parameter would have of the whole tensor.
  """

  tensor: tensors_lib.Tensor
  pattern: str
  shape: tuple[int, ...]
  stored: tuple[int, ...]

  @property
  def region(self) -> tensors_lib.Box:
    """Where the parameter lies in the tensor, with what is cut off."""
    whole = tensors_lib.everything(self.stored)
    return layout.source_box(self.pattern, self.stored, whole)

  @property
  def nbytes(self) -> int:
    """Bytes that are read for it."""
    return math.prod(self.stored) * self.tensor.dtype.itemsize

  def __array__(self, dtype=None, copy=None):
    """Reads all of it, for `np.asarray`."""
    del dtype, copy
    x = np.empty(self.stored, self.tensor.dtype)
    view = layout.source_view(self.pattern, x)
    for box in self.tensor.boxes(self.region):
      view[tensors_lib.within(box, self.region)] = self.tensor.fetch(box)
    return x[tuple(map(slice, self.shape))]


def header(
  told: Mapping[str, Any], tensors: Mapping[str, tensors_lib.Tensor]
) -> bytes:
  """Returns what is hashed of a checkpoint that has no header itself.

  Args:
    told: its configuration, as JSON has it.
    tensors: by their names.
  """
  shapes = {name: [str(x.dtype), x.shape] for name, x in tensors.items()}
  return json.dumps([told, shapes], sort_keys=True).encode()


def cut(checkpoint: Checkpoint, vocab_size: int) -> Checkpoint:
  """Returns a checkpoint of which only the first rows are wanted, V."""
  config = dataclasses.replace(checkpoint.config, vocab_size=vocab_size)
  return dataclasses.replace(
    checkpoint, config=config, stored=checkpoint.config
  )


def sources(checkpoint: Checkpoint) -> dict[str, Source]:
  """Returns what each parameter is read from, in the order of the file.

  Raises:
    ValueError: the tensors are not those that the configuration needs; one
      line that lists them.
  """
  layers = getattr(checkpoint.config, 'num_layers', 0)
  if layers > len(checkpoint.tensors):  # Which would take long to find out.
    raise ValueError(
      f'{checkpoint.path}: its configuration has {layers} layers, more than '
      f'its {len(checkpoint.tensors)} tensors; copy the checkpoint again'
    )
  shapes = _shapes(checkpoint.config)
  stored = _shapes(checkpoint.stored or checkpoint.config)
  names = checkpoint.names
  if names is None:
    names = {name: (name, layout.same(len(shapes[name]))) for name in shapes}
  wanted = {}
  for name, shape in stored.items():
    theirs, pattern = names[name]
    least = layout.source_shape(pattern, shape)
    # Parameters may be parts of one tensor, at several indices of an axis.
    wanted[theirs] = tuple(map(max, least, wanted.get(theirs, least)))
  _check(checkpoint, wanted)
  found = {
    name: Source(
      checkpoint.tensors[names[name][0]], names[name][1], shape, stored[name]
    )
    for name, shape in shapes.items()
  }
  return dict(sorted(found.items(), key=lambda x: _place(x[1])))


def _place(source):
  """Sorts sources as their tensors, and their parts of a tensor, lie."""
  return source.tensor.name, [x.start for x in source.region]


@functools.cache  # Large models take a second to trace.
def _shapes(config):
  """The shape of each parameter, by its name."""
  model = registry.make_model(config)
  shapes = jax.eval_shape(model.init, keys.make(0))
  flat = traverse_util.flatten_dict(shapes, sep='.')
  return {name: x.shape for name, x in flat.items()}


def _check(checkpoint, wanted):
  """Raises ValueError unless the tensors have just these shapes."""
  have = checkpoint.tensors
  ignored = [re.compile(x) for x in checkpoint.ignored]
  rest = [x for x in have if x not in wanted]
  shared = [name for name in wanted if name in have]
  problems = {
    'missing': [x for x in wanted if x not in have],
    'left over': [
      _named(have[x]) for x in rest if not any(y.match(x) for y in ignored)
    ],
    'of another shape': [
      f'{_named(have[name])} is {have[name].shape}, not {wanted[name]}'
      for name in shared
      if have[name].shape != wanted[name]
    ],
    f'not of type {", ".join(tensors_lib.DTYPES)}': [
      f'{_named(have[name])} is {have[name].dtype}'
      for name in shared
      if isinstance(have[name].dtype, str)
    ],
  }
  told = [_list(kind, found) for kind, found in problems.items() if found]
  if told:
    raise ValueError(
      f'{checkpoint.path}: its tensors do not fit its configuration: '
      f'{"; ".join(told)}; copy the checkpoint again or correct its '
      'configuration'
    )


def _named(tensor):
  return f'{tensor.name} of {tensor.path.name}'


def _list(kind, found):
  shown = ', '.join(sorted(found)[:_SHOWN])
  more = ', ...' if len(found) > _SHOWN else ''
  return f'{len(found)} {kind} ({shown}{more})'
