"""T5X checkpoints: a file of msgpack, or a folder that has one and arrays.

In a folder, the file has specifications of large arrays in their place. The
paths that those tell are where the arrays were written; here they lie beside
the file.
"""

from etils import epath
from flax import serialization, traverse_util

from speccascade.checkpoints import foreign, opened, zarr
from speccascade.checkpoints import tensors as tensors_lib

_FILE = 'checkpoint'
_TARGET = 'target.'  # What names of arrays begin with.


def is_one(folder: epath.Path) -> bool:
  """Whether T5X wrote a folder."""
  return (folder / _FILE).exists()


def open(path: epath.Path, dtype: str) -> opened.Checkpoint:
  """Opens a checkpoint for computing in `dtype`; what is in msgpack is read.

  Args:
    path: file or folder that T5X wrote.
    dtype: compute type, and type of the parameters.

  Raises:
    ValueError: files are missing or damaged, or the model is not supported.
  """
  tensors = _tensors(path)
  try:
    return foreign.open(path, 't5x', 't5', tensors, dtype)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None


def _tensors(path):
  """Tensors by the names that they have below the optimizer's target."""
  file = path / _FILE if path.is_dir() else path
  try:
    state = serialization.msgpack_restore(file.read_bytes())
    leaves = traverse_util.flatten_dict(
      state['optimizer']['target'], sep='.', is_leaf=lambda _, x: _is_told(x)
    )
  except (ValueError, TypeError, LookupError, AttributeError) as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise ValueError(
      f'{file}: not a T5X checkpoint: {reason:.200}; copy it again'
    ) from None
  told = {f'{_TARGET}{name}': name for name, x in leaves.items() if _is_told(x)}
  found = {
    name: tensors_lib.held(name, file, x)
    for name, x in leaves.items()
    if not _is_told(x)
  }
  arrays = zarr.open(path, [(place, 'zarr') for place in told])
  return found | {told[place]: x for place, x in arrays.items()}


def _is_told(x):
  """Whether a leaf is the specification of an array beside the file."""
  return isinstance(x, dict) and 'kvstore' in x
