"""Files of named tensors with metadata, in the safetensors format.

The format is the length of a header in 8 bytes, the header in JSON, and the
tensors. The metadata of ours has the SHA-256 of all the rest, for a flipped bit
makes another model.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath

from speccascade.checkpoints import tensors as tensors_lib
from speccascade.storage import files, json_text

_CHECKSUM = 'sha256'
_LONGEST = 100_000_000  # Of a header, as the safetensors library has it.


@dataclasses.dataclass(frozen=True)
class File:
  """A file whose tensors were not read.

  Attributes:
    tensors: by name.
    metadata: texts by name.
    header: what is hashed before the bytes of the tensors, in their order.
    checksum: SHA-256 that the file tells; None if it tells none.
  """

  tensors: dict[str, tensors_lib.Tensor]
  metadata: dict[str, str]
  header: bytes
  checksum: str | None


def write(
  path: epath.PathLike, tensors: Mapping[str, Any], metadata: Mapping[str, str]
) -> None:
  """Writes a file, whole or not at all; equal content gives equal bytes.

  Args:
    path: file to write.
    tensors: what `np.asarray` makes arrays of, of types in `DTYPES`. Each is
      made twice, so that no two of them need be in memory.
    metadata: texts by name.

  Raises:
    ValueError: the path is a link or a folder.
  """
  # Not by the library, which orders the metadata anew in each process.
  kinds = {dtype: kind for kind, dtype in tensors_lib.DTYPES.items()}
  header, end = {'__metadata__': dict(metadata)}, 0
  for name in sorted(tensors):
    x = tensors[name]
    start, end = end, end + math.prod(x.shape) * x.dtype.itemsize
    header[name] = {
      'dtype': kinds[x.dtype],
      'shape': x.shape,
      'data_offsets': (start, end),
    }
  checksum = hashlib.sha256(_text(header))
  for part in _data(tensors):
    checksum.update(part)
  header['__metadata__'][_CHECKSUM] = checksum.hexdigest()
  text = _text(header)
  text += b' ' * (-len(text) % 8)  # Aligns the tensors.
  start = struct.pack('<Q', len(text))
  files.write(path, itertools.chain((start, text), _data(tensors)))


def open(path: epath.PathLike) -> File:
  """Reads the header of a file.

  Args:
    path: file that `write` or the safetensors library wrote.

  Raises:
    ValueError: the file is missing or not whole; one line that names it.
  """
  path = epath.Path(path)
  if not path.exists():
    raise ValueError(f'{path}: no such checkpoint; check the path')
  if path.is_dir():
    raise ValueError(f'{path}: a folder, not a checkpoint; check the path')
  try:
    return _parse(path)
  except ValueError as error:
    raise ValueError(
      f'{path}: not a whole safetensors file: {ascii(str(error)[:200])[1:-1]}; '
      'copy it again'
    ) from None


def bytes_of(x: np.ndarray) -> memoryview:
  """Returns the bytes of an array; a contiguous one is not copied."""
  return np.ascontiguousarray(x).reshape(-1).view(np.uint8).data


def _data(tensors):
  return (bytes_of(np.asarray(tensors[name])) for name in sorted(tensors))


def _text(header):
  return json.dumps(header, sort_keys=True, separators=(',', ':')).encode()


def _parse(path):
  length = path.stat().length
  with path.open('rb') as f:
    start = 8 + int.from_bytes(f.read(8), 'little')
    if start > length or length < 8:
      raise ValueError(f'it has {length} bytes, but its header says {start}')
    if start > _LONGEST:
      raise ValueError(f'its header is {start} bytes long')
    header = json_text.loads(f.read(start - 8))
  if not isinstance(header, dict):
    raise ValueError('its header is no JSON object')
  metadata = header.pop('__metadata__', {})
  if not isinstance(metadata, dict) or not _are(metadata.values(), str):
    raise ValueError('its metadata are no texts')
  tensors = {name: _tensor(path, start, name, header[name]) for name in header}
  end = _tile(header)
  if start + end != length:
    raise ValueError(
      f'it has {length} bytes, but its header says {start + end}'
    )
  checksum = metadata.pop(_CHECKSUM, None)
  text = _text({'__metadata__': metadata, **header})
  return File(tensors, metadata, text, checksum)


def _tensor(path, start, name, told):
  """A tensor by its entry in a header, whose tensors begin at `start`."""
  if not isinstance(told, dict):
    raise ValueError(f'tensor {name!r} has no entry')
  kind, shape, span = map(told.get, ('dtype', 'shape', 'data_offsets'))
  if not (
    isinstance(kind, str)
    and isinstance(shape, list)
    and isinstance(span, list)
    and _are(shape, int)
    and _are(span, int)
    and len(span) == 2
    and min(*shape, *span) >= 0
  ):
    raise ValueError(f'tensor {name!r} has no type, shape or place')
  shape, dtype = tuple(shape), tensors_lib.DTYPES.get(kind, kind)
  if isinstance(dtype, str):  # It is refused if the model needs it.
    return tensors_lib.Tensor(name, path, shape, dtype, (), None)
  if math.prod(shape) * dtype.itemsize != span[1] - span[0]:
    raise ValueError(
      f'tensor {name!r} of shape {shape} has {span[1] - span[0]} bytes'
    )
  return tensors_lib.Tensor(
    name=name,
    path=path,
    shape=shape,
    dtype=dtype,
    grain=tensors_lib.grain(shape, dtype.itemsize),
    fetch=functools.partial(_fetch, path, name, shape, dtype, start + span[0]),
  )


def _tile(header):
  """Returns where tensors end that leave no gap and share no byte."""
  end = 0
  spans = ((x['data_offsets'], name) for name, x in header.items())
  for (start, stop), name in sorted(spans):
    if start != end:
      raise ValueError(f'tensor {name!r} begins at {start}, not at {end}')
    end = stop
  return end


def _fetch(path, name, shape, dtype, start, box):
  """Reads a box of a tensor whose bytes begin at `start`."""
  outer = next((i for i, n in enumerate(tensors_lib.sizes(box)) if n > 1), 0)
  run = (*box[: outer + 1], *tensors_lib.everything(shape[outer + 1 :]))
  sizes, first = tensors_lib.sizes(run), 0
  for x, size in zip(run, shape, strict=True):
    first = first * size + x.start
  count = math.prod(sizes) * dtype.itemsize
  with path.open('rb') as f:
    f.seek(start + first * dtype.itemsize)
    data = f.read(count)
  if len(data) != count:
    raise ValueError(
      f'{path}: it ended in tensor {name!r} while it was read; copy it again'
    )
  return np.frombuffer(data, dtype).reshape(sizes)[tensors_lib.within(box, run)]


def _are(values: Iterable, kind):
  return all(type(x) is kind for x in values)
