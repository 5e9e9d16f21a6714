"""One safetensors file a model, its configuration in the file's metadata."""

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

from speccascade.models import gemma, t5

# The library's own reader knows no bfloat16.
_DTYPES = {'BF16': jnp.bfloat16, 'F32': np.float32, 'F64': np.float64}

_FAMILIES = {
  'gemma2': (gemma.GemmaConfig, gemma.Gemma),
  't5': (t5.T5Config, t5.T5),
}


def make_model(config):
  """The model, Gemma or T5, that a configuration describes."""
  _, make = _FAMILIES[_family(config)]
  return make(config)


def make_config(family, **settings):
  """The configuration of a family, 'gemma2' or 't5'."""
  if family not in _FAMILIES:
    raise ValueError(f'family={family!r} must be one of {tuple(_FAMILIES)}')
  make, _ = _FAMILIES[family]
  return make(**settings)


def _family(config):
  (name,) = (k for k, (kind, _) in _FAMILIES.items() if kind is type(config))
  return name


def save(path, config, params, dtype='bfloat16'):
  """Writes `params`, rounded to `dtype`, and `config`.

  Args:
    path: file to write; any path that etils.epath understands.
    config: GemmaConfig or T5Config.
    params: nested dict of arrays.
    dtype: type stored.
  """
  flat = traverse_util.flatten_dict(params, sep='.')
  tensors = {k: jnp.asarray(v, dtype) for k, v in flat.items()}
  metadata = {
    'family': _family(config),
    'config': json.dumps(dataclasses.asdict(config), sort_keys=True),
  }
  epath.Path(path).write_bytes(safetensors.save(tensors, metadata))


def load(path, dtype='float32'):
  """Reads a model for computing in `dtype`.

  Args:
    path: file that `save` wrote.
    dtype: compute type, also that of the parameters returned.

  Returns:
    (GemmaConfig or T5Config with `dtype`, params).

  Raises:
    ValueError: the file is missing, torn, of a family not known here, or of
      other settings or shapes than its own family and configuration ask for.
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
      f'{path}: not a whole speccascade checkpoint ({e}); fetch it again'
    ) from None
  if name not in _FAMILIES:
    raise ValueError(
      f'{path}: a model of family {name!r}; only '
      f'{" and ".join(_FAMILIES)} can be read: convert it'
    )
  make_config, _ = _FAMILIES[name]
  try:
    config = make_config(**{**settings, 'dtype': dtype})
  except TypeError as e:
    raise ValueError(
      f'{path}: its settings are not those of its family, {name} ({e}); '
      'save the model again'
    ) from None
  wanted = traverse_util.flatten_dict(
    jax.eval_shape(make_model(config).init, jax.random.key(0)), sep='.'
  )
  for name in sorted(wanted.keys() | tensors.keys()):
    want = wanted[name].shape if name in wanted else 'none'
    have = tensors[name].shape if name in tensors else 'none'
    if want != have:
      raise ValueError(
        f'{path}: tensor {name} has shape {have}, its configuration asks '
        f'for {want}; the file and its configuration do not belong together'
      )
  params = {k: jnp.asarray(v, dtype) for k, v in tensors.items()}
  return config, traverse_util.unflatten_dict(params, sep='.')
