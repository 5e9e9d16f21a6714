"""The native format: one safetensors file a model, with its configuration.

The metadata of the file names the family and holds the configuration as JSON.
"""

import dataclasses
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util
from safetensors import SafetensorError, deserialize
from safetensors import flax as safetensors

from speccascade.models import registry

# The library's reader of numpy arrays does not support bfloat16.
_DTYPES = {'BF16': jnp.bfloat16, 'F32': np.float32, 'F64': np.float64}


def save(path, config, params, dtype='bfloat16'):
  """Writes a model.

  Args:
    path: file to write; any path that etils.epath supports.
    config: configuration of a registered family.
    params: nested dict of arrays.
    dtype: type that the parameters are rounded to and stored in.
  """
  flat = traverse_util.flatten_dict(params, sep='.')
  tensors = {k: _cast(v, dtype) for k, v in flat.items()}
  metadata = {
    'family': registry.family_of(config).name,
    'config': json.dumps(dataclasses.asdict(config), sort_keys=True),
  }
  epath.Path(path).write_bytes(safetensors.save(tensors, metadata))


def load(path, dtype='float32'):
  """Reads a model for computing in `dtype`.

  Args:
    path: file that `save` wrote.
    dtype: compute type, and type of the parameters returned.

  Returns:
    (configuration with `dtype`, params).

  Raises:
    ValueError: the file is missing or incomplete, its family is not
      registered, or its settings or tensors do not fit the family.
  """
  path = epath.Path(path)
  if not path.exists():
    raise ValueError(f'{path}: no such checkpoint; check the path')
  data = path.read_bytes()
  try:
    tensors = {
      name: np.frombuffer(x['data'], _DTYPES[x['dtype']]).reshape(x['shape'])
      for name, x in deserialize(data)
    }
    (size,) = struct.unpack('<Q', data[:8])
    metadata = json.loads(data[8 : 8 + size])['__metadata__']
    name, settings = metadata['family'], json.loads(metadata['config'])
  except (SafetensorError, KeyError, ValueError, struct.error) as e:
    raise ValueError(
      f'{path}: not a complete speccascade checkpoint ({e}); copy it again'
    ) from None
  if name not in registry.FAMILIES:
    raise ValueError(
      f'{path}: model family {name!r} is not supported; supported: '
      f'{", ".join(registry.FAMILIES)}'
    )
  try:
    config = registry.make_config(name, **{**settings, 'dtype': dtype})
  except ValueError as e:
    raise ValueError(f'{path}: {e}; save the model again') from None
  wanted = traverse_util.flatten_dict(
    jax.eval_shape(registry.make_model(config).init, jax.random.key(0)), sep='.'
  )
  for name in sorted(wanted.keys() | tensors.keys()):
    want = wanted[name].shape if name in wanted else 'none'
    have = tensors[name].shape if name in tensors else 'none'
    if want != have:
      raise ValueError(
        f'{path}: tensor {name} has shape {have}, but the configuration in '
        f'the file needs {want}; save the model again'
      )
  params = {k: _cast(v, dtype) for k, v in tensors.items()}
  return config, traverse_util.unflatten_dict(params, sep='.')


def _cast(x, dtype):
  # In numpy: an eager cast in JAX compiles a program for each shape.
  return jnp.array(np.asarray(x).astype(jnp.dtype(dtype)))
