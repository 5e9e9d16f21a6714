"""Files of named tensors with metadata, in the safetensors format.

The format is the length of a header in 8 bytes, the header in JSON, and the
tensors. The metadata of ours has the SHA-256 of all the rest, for a flipped bit
makes another model.
"""

import hashlib
import json
import struct
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors
from etils import epath

from speccascade.storage import files, json_text

_CHECKSUM = 'sha256'

# What a tensor may be stored in, by its name in the header.
DTYPES = {
  'BF16': np.dtype(jnp.bfloat16),
  'F16': np.dtype(np.float16),
  'F32': np.dtype(np.float32),
  'F64': np.dtype(np.float64),
}


def write(
  path: epath.PathLike,
  tensors: Mapping[str, np.ndarray],
  metadata: Mapping[str, str],
) -> None:
  """Writes a file, whole or not at all; equal content gives equal bytes.

  Args:
    path: file to write.
    tensors: of types in `DTYPES`.
    metadata: texts by name.

  Raises:
    ValueError: the path is a link or a folder.
  """
  # Not by the library, which orders the metadata anew in each process.
  kinds = {dtype: kind for kind, dtype in DTYPES.items()}
  header, end = {'__metadata__': dict(metadata)}, 0
  for name in sorted(tensors):
    start, end = end, end + tensors[name].nbytes
    header[name] = {
      'dtype': kinds[tensors[name].dtype],
      'shape': tensors[name].shape,
      'data_offsets': (start, end),
    }
  data = [_bytes(tensors[name]) for name in sorted(tensors)]
  header['__metadata__'][_CHECKSUM] = _checksum(header, *data)
  text = _text(header)
  text += b' ' * (-len(text) % 8)  # Aligns the tensors.
  files.write(path, [struct.pack('<Q', len(text)), text, *data])


def read(
  path: epath.PathLike,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Reads a file.

  Args:
    path: file that `write` or the safetensors library wrote.

  Returns:
    (tensors by name, metadata).

  Raises:
    ValueError: the file is missing, damaged, or holds other types; one line
      that names it.
  """
  path = epath.Path(path)
  if not path.exists():
    raise ValueError(f'{path}: no such checkpoint; check the path')
  if path.is_dir():
    raise ValueError(f'{path}: a folder, not a checkpoint; check the path')
  data = path.read_bytes()
  try:
    found = safetensors.deserialize(data)
    header = json_text.loads(data[8 : _start(data)])
  except (safetensors.SafetensorError, ValueError) as error:
    reason = _missing(data) or ascii(str(error)[:200])[1:-1]
    raise ValueError(
      f'{path}: not a whole safetensors file: {reason}; copy it again'
    ) from None
  header['__metadata__'] = metadata = header.get('__metadata__') or {}
  checksum = metadata.pop(_CHECKSUM, None)  # Others' files have none.
  told = memoryview(data)[_start(data) :]
  if checksum not in (None, _checksum(header, told)):
    raise ValueError(
      f'{path}: damaged: it does not have the {_CHECKSUM} that it tells; copy '
      'it again'
    )
  tensors = {}
  for name, x in found:
    if x['dtype'] not in DTYPES:
      raise ValueError(
        f'{path}: tensor {name!r} is of type {x["dtype"]}, a checkpoint holds '
        f'{", ".join(DTYPES)}; save the model again'
      )
    tensors[name] = np.ndarray(x['shape'], DTYPES[x['dtype']], x['data'])
  return tensors, metadata


def _text(header):
  return json.dumps(header, sort_keys=True, separators=(',', ':')).encode()


def _bytes(x):
  """The bytes of an array; a contiguous one is not copied."""
  return np.ascontiguousarray(x).reshape(-1).view(np.uint8).data


def _checksum(header, *data):
  digest = hashlib.sha256(_text(header))
  for part in data:
    digest.update(part)
  return digest.hexdigest()


def _start(data):
  """Where the header says that the tensors start."""
  return 8 + int.from_bytes(data[:8], 'little')


def _missing(data):
  """Says what the length of a file is and should be; None if they agree."""
  told = _start(data)
  if told <= len(data):
    try:
      header = json_text.loads(data[8:told])
      header.pop('__metadata__', None)
      told += max(x['data_offsets'][1] for x in header.values())
    except (ValueError, TypeError, LookupError, AttributeError):
      return None
  if told == len(data):
    return None
  return f'it has {len(data)} bytes, but its header says {told}'
