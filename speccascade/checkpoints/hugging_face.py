"""Folders in Hugging Face's layout: config.json and files of safetensors.

All tensors are in model.safetensors, or in shards that an index tells of.
"""

import json
from typing import Any

from etils import epath
from flax import traverse_util

from speccascade.checkpoints import file, foreign, opened, values
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.models import base, int8, registry
from speccascade.storage import files, json_text

_CONFIG = 'config.json'
_WHOLE = 'model.safetensors'
_INDEX = 'model.safetensors.index.json'


def open(folder: epath.Path, dtype: str) -> opened.Checkpoint:
  """Opens a folder for computing in `dtype`.

  Args:
    folder: a folder with config.json.
    dtype: compute type, and type of the parameters.

  Raises:
    ValueError: files are missing or damaged, or the model is not supported.
  """
  fields = _fields(folder / _CONFIG)
  tensors = _tensors(folder)
  try:
    kind = fields.get('model_type')
    return foreign.open(folder, 'hugging_face', kind, tensors, dtype, fields)
  except ValueError as error:
    raise ValueError(f'{folder / _CONFIG}: {error}') from None


def save(
  folder: epath.PathLike,
  config: base.Config,
  params: dict[str, Any],
  dtype: str = 'bfloat16',
) -> None:
  """Writes a model as a folder that Hugging Face's libraries read.

  Args:
    folder: to write config.json and model.safetensors to.
    config: configuration of a registered family.
    params: nested dict of arrays, or of what `np.asarray` makes arrays of.
    dtype: type that the parameters are rounded to and stored in.

  Raises:
    ValueError: a parameter is int8 or not finite, or the family has no such
      format.
  """
  family = registry.family_of(config)
  form = family.formats.get('hugging_face')
  if form is None or form.fields is None:
    raise ValueError(
      f'{family.name} models are not written in the layout of Hugging Face'
    )
  folder, names = files.folder(folder), form.names(config)
  int8.refuse(params, 'saved')
  flat = traverse_util.flatten_dict(params, sep='.')
  tensors = {
    names[ours][0]: values.Rounded(folder, ours, x, dtype, names[ours][1])
    for ours, x in flat.items()
  }
  file.write(folder / _WHOLE, tensors, {'format': 'pt'})
  kind = form.kinds[0]
  fields = {'model_type': kind, 'dtype': dtype} | form.fields(config)
  files.write(folder / _CONFIG, f'{json.dumps(fields, indent=2)}\n')


def is_one(folder: epath.Path) -> bool:
  """Whether a folder has the files of a model, or some of them."""
  names = [x.name for x in folder.iterdir()]
  ends = '.safetensors', '.bin', '.safetensors.index.json', '.gguf'
  return _CONFIG in names or any(name.endswith(ends) for name in names)


def _fields(path: epath.Path) -> dict[str, Any]:
  """The fields of a config.json."""
  if not path.exists():
    raise ValueError(
      f'{path}: no such file; a model in the layout of Hugging Face has one, '
      'copy it there'
    )
  fields = _json(path)
  if not isinstance(fields, dict):
    raise ValueError(f'{path}: it is no JSON object; copy it again')
  return fields


def _json(path):
  if path.is_dir():
    raise ValueError(f'{path}: a folder, not a file; copy it again')
  try:
    return json_text.load(path)
  except ValueError as error:  # It names the file.
    raise ValueError(f'{error}; copy it again') from None


def _tensors(folder: epath.Path) -> dict[str, tensors_lib.Tensor]:
  """The tensors of a folder by name, which were not read."""
  whole, index = folder / _WHOLE, folder / _INDEX
  if whole.exists() and index.exists():
    raise ValueError(
      f'{folder}: it has both {_WHOLE} and {_INDEX}; remove the one that is '
      'not of this model'
    )
  if whole.exists():
    return file.open(whole).tensors
  if index.exists():
    return _of_shards(index)
  others = sorted(x.name for x in folder.iterdir() if x.name != _CONFIG)
  weights = [x for x in others if x.endswith(('.bin', '.gguf', '.pt', '.h5'))]
  if weights:
    raise ValueError(
      f'{folder}: its weights are in {weights[0]}, which is not read; convert '
      'them to safetensors, as save_pretrained of transformers does'
    )
  raise ValueError(
    f'{folder}: it has neither {_WHOLE} nor {_INDEX}, only '
    f'{", ".join(others[:5]) or "config.json"}; copy the model again'
  )


def _of_shards(index: epath.Path) -> dict[str, tensors_lib.Tensor]:
  """The tensors of shards, held against their index."""
  told = _json(index)
  places = told.get('weight_map') if isinstance(told, dict) else None
  if not isinstance(places, dict) or not all(
    isinstance(x, str) and epath.Path(x).name == x and x not in ('', '..')
    for x in places.values()
  ):
    raise ValueError(
      f'{index}: it has no weight_map of names of files in its folder; copy it '
      'again'
    )
  found = {}
  for shard in sorted(set(places.values())):
    path = index.parent / shard
    if not path.exists():
      raise ValueError(
        f'{index}: shard {shard} is missing, of tensor '
        f'{min(x for x in places if places[x] == shard)} and others; copy it '
        'there'
      )
    for name, tensor in file.open(path).tensors.items():
      if name in found:
        raise ValueError(
          f'{path}: tensor {name} is in {found[name].path.name}, too; copy '
          'both again'
        )
      found[name] = tensor
  for name in sorted(places.keys() | found.keys()):
    has = found[name].path.name if name in found else 'no shard'
    if places.get(name) != has:
      raise ValueError(
        f'{index}: it tells that tensor {name} is in '
        f'{places.get(name, "no shard")}, but {has} has it; copy index and '
        'shards again'
      )
  return found
