"""The native format: one safetensors file a model, with its configuration.

The metadata of the file names the family and holds the configuration as JSON.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from flax import traverse_util

from speccascade.checkpoints import file, opened, values
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.models import base, int8, registry
from speccascade.storage import json_text

_VERSION = '2'  # Of names and settings; the first had none.
_FIRST = 'first'  # Of the formats of a family.


def save(
  path: epath.PathLike,
  config: base.Config,
  params: dict[str, Any],
  dtype: str = 'bfloat16',
) -> None:
  """Writes a model. The same model gives the same bytes.

  Args:
    path: file to write; any path that etils.epath supports.
    config: configuration of a registered family.
    params: nested dict of arrays, or of what `np.asarray` makes arrays of.
    dtype: type that the parameters are rounded to and stored in.

  Raises:
    ValueError: a parameter is int8, not finite or not in `dtype`, or that is no
      type of `tensors.DTYPES`.
  """
  known = [str(x) for x in tensors_lib.DTYPES.values()]
  if dtype not in known:
    raise ValueError(f'dtype={dtype!r} must be one of {", ".join(known)}')
  int8.refuse(params, 'saved')
  flat = traverse_util.flatten_dict(params, sep='.')
  rounded = {
    name: values.Rounded(path, name, x, dtype) for name, x in flat.items()
  }
  file.write(path, rounded, metadata(config))


def metadata(config: base.Config) -> dict[str, str]:
  """Returns what a checkpoint tells of a model's configuration."""
  return {
    'version': _VERSION,
    'family': registry.family_of(config).name,
    'config': json.dumps(dataclasses.asdict(config), sort_keys=True),
  }


def open(path: epath.PathLike, dtype: str) -> opened.Checkpoint:
  """Opens a model for computing in `dtype`.

  Args:
    path: file that `save` wrote.
    dtype: compute type, and type of the parameters.

  Raises:
    ValueError: the file is missing or incomplete, its family is not
      registered, or its settings do not fit the family.
  """
  check_computes(dtype)
  found = file.open(path)
  own = config(path, found.metadata, dtype)
  names = None
  if 'version' not in found.metadata:
    names = registry.family_of(own).formats[_FIRST].names(own)
  return opened.Checkpoint(
    path=epath.Path(path),
    config=own,
    tensors=found.tensors,
    names=names,
    header=found.header,
    checksum=found.checksum,
  )


def check_computes(dtype: str) -> None:
  """Raises ValueError unless models compute in that type."""
  known = typing.get_args(base.Dtype)
  if dtype not in known:
    raise ValueError(f'dtype={dtype!r} must be one of {", ".join(known)}')
  if dtype == 'float64' and not jax.config.jax_enable_x64:
    raise ValueError(f'dtype={dtype!r} needs jax_enable_x64')


def config(
  path: epath.PathLike, metadata: Mapping[str, str], dtype: str
) -> base.Config:
  """Returns the configuration that the metadata of a checkpoint tells.

  Raises:
    ValueError: they tell none that is valid.
  """
  for key in ('family', 'config'):
    if key not in metadata:
      raise ValueError(
        f'{path}: not a speccascade checkpoint: its metadata has no {key!r}; '
        'save the model with speccascade'
      )
  name = metadata['family']
  if name not in registry.FAMILIES:
    raise ValueError(
      f'{path}: model family {name!r} is not supported; supported: '
      f'{", ".join(registry.FAMILIES)}'
    )
  version = metadata.get('version')
  if version not in (None, _VERSION):
    raise ValueError(
      f'{path}: it is of version {version!r:.40}, known is {_VERSION}; update '
      'speccascade'
    )
  try:
    settings = json_text.loads(metadata['config'])
    if not isinstance(settings, dict):
      raise ValueError(f'it is a JSON {type(settings).__name__}, not an object')
    if version is None:
      settings = _of_first(name, settings)
    return registry.make_config(name, **settings | {'dtype': dtype})
  except ValueError as error:
    raise ValueError(
      f'{path}: its configuration: {error}; save the model again'
    ) from None


def _of_first(name, settings):
  """The settings of a file of the first version."""
  formats = registry.FAMILIES[name].formats
  if _FIRST not in formats:
    raise ValueError(f'no {name} models were written without a version')
  return formats[_FIRST].settings(settings, {})
