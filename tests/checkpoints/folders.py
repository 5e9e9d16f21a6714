"""Folders in Hugging Face's layout of models of any size."""

import json
import math
import struct

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from speccascade.checkpoints import layout
from speccascade.models import registry

_PART = 2**24  # Bytes that are written at a time.


def write(folder, config, *, shards=1, sparse=False):
  """Writes a model of random values in bfloat16, or a sparse one of zeros."""
  family = registry.family_of(config)
  form = family.formats['hugging_face']
  shapes = traverse_util.flatten_dict(
    jax.eval_shape(family.model(config).init, jax.random.key(0)), sep='.'
  )
  tensors = {
    theirs: layout.source_shape(pattern, shapes[ours].shape)
    for ours, (theirs, pattern) in form.names(config).items()
  }
  folder.mkdir(parents=True)
  fields = {'model_type': form.kinds[0]} | form.fields(config)
  (folder / 'config.json').write_text(json.dumps(fields))
  names = sorted(tensors)
  places = {}
  for i in range(shards):
    file = f'model-{i + 1:05}-of-{shards:05}.safetensors'
    own = {name: tensors[name] for name in names[i::shards]}
    places |= dict.fromkeys(own, file)
    _write(folder / file, own, sparse)
  index = {'metadata': {}, 'weight_map': places}
  (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
  return folder


def _write(path, shapes, sparse):
  header, end = {}, 0
  for name, shape in shapes.items():
    start, end = end, end + 2 * math.prod(shape)
    header[name] = {
      'dtype': 'BF16',
      'shape': shape,
      'data_offsets': (start, end),
    }
  text = json.dumps(header).encode()
  values = np.random.default_rng(0).normal(size=_PART // 2)
  part = values.astype(jnp.bfloat16).tobytes()
  with path.open('wb') as file:
    file.write(struct.pack('<Q', len(text)) + text)
    if sparse:
      file.truncate(8 + len(text) + end)
      return
    for i in range(0, end, _PART):
      file.write(part[: end - i])
