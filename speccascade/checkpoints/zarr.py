"""Arrays of a folder that tensorstore reads, local or on gs://."""

import functools
from collections.abc import Iterable

import numpy as np
import tensorstore as ts
from etils import epath

from speccascade.checkpoints import tensors as tensors_lib
from speccascade.storage import files

_DRIVERS = {'/.zarray': 'zarr', '/zarr.json': 'zarr3'}  # By what ends a key.


def arrays(folder: epath.Path) -> dict[str, tensors_lib.Tensor]:
  """Returns the arrays of a folder by their names, which are not read.

  Args:
    folder: of files, or of an OCDBT database of them.

  Raises:
    ValueError: an array is damaged.
  """
  store = _store(folder)
  try:
    keys = [x.decode() for x in ts.KvStore.open(store).result().list().result()]
  except (ValueError, OSError) as error:
    raise ValueError(_told(folder, 'its list of arrays', error)) from None
  return open(
    folder,
    (
      (key.removesuffix(end), driver)
      for key in keys
      for end, driver in _DRIVERS.items()
      if key.endswith(end)
    ),
  )


def open(
  folder: epath.Path, found: Iterable[tuple[str, str]]
) -> dict[str, tensors_lib.Tensor]:
  """Returns arrays by their names, with dots for slashes; none is read.

  Args:
    folder: as of `arrays`.
    found: (path in the folder, driver) pairs.

  Raises:
    ValueError: an array is missing or damaged.
  """
  store = _store(folder)
  waiting = {
    path: ts.open(
      {
        'driver': driver,
        'kvstore': {**store, 'path': f'{store.get("path", "")}{path}/'},
        'fill_missing_data_reads': False,
      },
      open=True,
      read=True,
    )
    for path, driver in found
  }
  return {
    path.replace('/', '.'): _tensor(folder, path, array)
    for path, array in waiting.items()
  }


def _store(folder):
  """What tensorstore calls a folder."""
  if files.is_local(folder):
    store = {'driver': 'file', 'path': f'{folder.resolve()}/'}
  else:
    bucket, _, path = str(folder).removeprefix('gs://').partition('/')
    store = {'driver': 'gcs', 'bucket': bucket, 'path': f'{path}/'}
  if (folder / 'manifest.ocdbt').exists():
    return {'driver': 'ocdbt', 'base': store}
  return store


def _tensor(folder, path, waiting):
  try:
    array = waiting.result()
  except (ValueError, OSError) as error:
    raise ValueError(_told(folder, path, error)) from None
  dtype = array.dtype.numpy_dtype
  known = dtype in tensors_lib.DTYPES.values()
  return tensors_lib.Tensor(
    name=path.replace('/', '.'),
    path=folder,
    shape=array.shape,
    dtype=dtype if known else str(dtype),
    grain=tensors_lib.grain(
      array.shape, dtype.itemsize, array.chunk_layout.read_chunk.shape
    ),
    fetch=functools.partial(_fetch, folder, path, array),
  )


def _fetch(folder, path, array, box) -> np.ndarray:
  try:
    return array[box].read().result()
  except (ValueError, OSError) as error:
    raise ValueError(_told(folder, path, error)) from None


def _told(folder, what, error):
  reason = ' '.join(str(error).split())
  return f'{folder}: {what} cannot be read: {reason:.300}; copy it again'
