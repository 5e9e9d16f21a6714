"""The native format: one safetensors file a model, with its configuration.

The metadata of the file names the family and holds the configuration as JSON.
"""

import dataclasses
import json
import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util

from speccascade.checkpoints import file
from speccascade.models import base, registry
from speccascade.sampling import keys
from speccascade.storage import json_text

_PART = 2**18  # Values that are tested at a time: a core's cache holds them.


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
    params: nested dict of arrays.
    dtype: type that the parameters are rounded to and stored in.

  Raises:
    ValueError: a parameter is not finite, or not in `dtype`, or that is no
      type of `file.DTYPES`.
  """
  known = [str(x) for x in file.DTYPES.values()]
  if dtype not in known:
    raise ValueError(f'dtype={dtype!r} must be one of {", ".join(known)}')
  flat = traverse_util.flatten_dict(params, sep='.')
  tensors = {name: _cast(path, name, x, dtype) for name, x in flat.items()}
  metadata = {
    'family': registry.family_of(config).name,
    'config': json.dumps(dataclasses.asdict(config), sort_keys=True),
  }
  file.write(path, tensors, metadata)


def load(
  path: epath.PathLike, dtype: str = 'float32'
) -> tuple[base.Config, dict[str, Any]]:
  """Reads a model for computing in `dtype`.

  Args:
    path: file that `save` wrote.
    dtype: compute type, and type of the parameters returned.

  Returns:
    (configuration with `dtype`, params).

  Raises:
    ValueError: the file is missing or incomplete, its family is not
      registered, its settings or tensors do not fit the family, or a parameter
      is not finite in `dtype`.
  """
  _check_computes(dtype)
  tensors, metadata = file.read(path)
  config = _config(path, metadata, dtype)
  _check_shapes(path, config, tensors)
  params = {
    # In numpy: an eager cast in JAX compiles a program for each shape.
    name: jnp.array(_cast(path, name, tensors.pop(name), dtype))
    for name in list(tensors)
  }
  return config, traverse_util.unflatten_dict(params, sep='.')


def _check_computes(dtype):
  known = typing.get_args(base.Dtype)
  if dtype not in known:
    raise ValueError(f'dtype={dtype!r} must be one of {", ".join(known)}')
  if dtype == 'float64' and not jax.config.jax_enable_x64:
    raise ValueError(f'dtype={dtype!r} needs jax_enable_x64')


def _config(path, metadata, dtype):
  """The configuration that the metadata of a file tells."""
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
  try:
    settings = json_text.loads(metadata['config'])
    if not isinstance(settings, dict):
      raise ValueError(f'it is a JSON {type(settings).__name__}, not an object')
    return registry.make_config(name, **settings | {'dtype': dtype})
  except ValueError as error:
    raise ValueError(
      f'{path}: its configuration: {error}; save the model again'
    ) from None


def _check_shapes(path, config, tensors):
  """Raises ValueError unless a configuration needs just these tensors."""
  layers = registry.unrolled_layers(config)
  if layers > len(tensors):  # Which would take long to find out below.
    raise ValueError(
      f'{path}: the configuration in the file has {layers} layers, more than '
      f'the {len(tensors)} tensors; save the model again'
    )
  model = registry.make_model(config)
  wanted = traverse_util.flatten_dict(
    jax.eval_shape(model.init, keys.make(0)), sep='.'
  )
  for name in sorted(wanted.keys() | tensors.keys()):
    want = wanted[name].shape if name in wanted else 'none'
    have = tensors[name].shape if name in tensors else 'none'
    if want != have:
      raise ValueError(
        f'{path}: tensor {name!r} has shape {have}, but the configuration in '
        f'the file needs {want}; save the model again'
      )


def _cast(path, name, x, dtype):
  """Returns an array in `dtype`; raises ValueError if it is not finite."""
  x = np.asarray(x)
  with np.errstate(over='ignore', invalid='ignore'):
    cast = x.astype(dtype, copy=False)
  if _finite(cast):
    return cast
  if _finite(x):
    raise ValueError(
      f'{path}: tensor {name!r} has values too large for {dtype}; use float32'
    )
  raise ValueError(
    f'{path}: tensor {name!r} has values that are NaN or infinite: its '
    'training diverged or the file is damaged; go back to a good one'
  )


def _finite(x):
  """Whether all values are: by their bits, which is fast in every type."""
  bits = np.ascontiguousarray(x).reshape(-1).view(f'u{x.itemsize}')
  infinity = np.array(np.inf, x.dtype).view(bits.dtype)
  unsigned = np.iinfo(bits.dtype).max >> 1
  return all(
    (bits[i : i + _PART] & unsigned).max() < infinity
    for i in range(0, bits.size, _PART)
  )
