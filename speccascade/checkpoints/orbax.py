"""Orbax checkpoints: our own, and those that DeepMind published of Gemma."""

import dataclasses
import re
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax import traverse_util

from speccascade.checkpoints import foreign, native, opened, values, zarr
from speccascade.models import base, int8
from speccascade.storage import json_text

_METADATA = '_CHECKPOINT_METADATA'
_FILES = _METADATA, '_METADATA', 'manifest.ocdbt'
_STACK = re.compile(
  r'(transformer\.)stacked_layers\.attention_type_(\d+)(\..+)'
)


def is_one(folder: epath.Path) -> bool:
  """Whether Orbax wrote a folder."""
  return any((folder / name).exists() for name in _FILES)


def save(
  folder: epath.PathLike,
  config: base.Config,
  params: dict[str, Any],
  dtype: str = 'bfloat16',
) -> None:
  """Writes a model; all of it is in memory.

  Args:
    folder: to write; none may be there.
    config: configuration of a registered family.
    params: nested dict of arrays, or of what `np.asarray` makes arrays of.
    dtype: type that the parameters are rounded to and stored in.

  Raises:
    ValueError: a parameter is int8 or not finite, or the folder is there.
  """
  folder = epath.Path(folder)
  if folder.exists():
    raise ValueError(f'{folder} is there; give another path')
  int8.refuse(params, 'saved')
  flat = traverse_util.flatten_dict(params, sep='.')
  rounded = {
    name: np.asarray(values.Rounded(folder, name, x, dtype))
    for name, x in flat.items()
  }
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(
      folder.resolve(),
      traverse_util.unflatten_dict(rounded, sep='.'),
      custom_metadata=native.metadata(config),
    )


def open(folder: epath.Path, dtype: str) -> opened.Checkpoint:
  """Opens a checkpoint for computing in `dtype`.

  Args:
    folder: that Orbax wrote.
    dtype: compute type, and type of the parameters.

  Raises:
    ValueError: files are missing or damaged, or the model is not supported.
  """
  tensors, told = zarr.arrays(folder), _metadata(folder / _METADATA)
  if 'family' in told:
    return opened.Checkpoint(
      path=folder,
      config=native.config(folder, told, dtype),
      tensors=tensors,
      names=None,
      header=opened.header(told, tensors),
    )
  tensors = _unstacked(tensors)
  try:
    return foreign.open(folder, 'gemma', _kind(tensors), tensors, dtype)
  except ValueError as error:
    raise ValueError(f'{folder}: {error}') from None


def _metadata(path):
  """What `save` told of a checkpoint; of one of others, nothing."""
  if not path.exists():
    return {}
  try:
    told = json_text.load(path)
  except ValueError as error:  # It names the file.
    raise ValueError(f'{error}; copy it again') from None
  told = told.get('custom_metadata') if isinstance(told, dict) else None
  return told or {}


def _unstacked(tensors):
  """Names layers of stacks as if each had been written alone.

  Layer `step * period + j` is at `step` of the stack of attention type j.
  """
  found = {name: x for name, x in tensors.items() if not _STACK.match(name)}
  stacks = {name: _STACK.fullmatch(name) for name in tensors.keys() - found}
  period = len({match[2] for match in stacks.values()})
  for name, (start, place, rest) in (
    (name, match.groups()) for name, match in sorted(stacks.items())
  ):
    for step in range(tensors[name].shape[0]):
      layer = f'{start}layer_{step * period + int(place)}{rest}'
      found[layer] = _at(tensors[name], step, layer)
  return found


def _at(tensor, step, name):
  """A tensor at an index of its first axis."""

  def fetch(box):
    return tensor.fetch((slice(step, step + 1), *box))[0]

  return dataclasses.replace(
    tensor,
    name=name,
    shape=tensor.shape[1:],
    grain=tensor.grain[1:],
    fetch=fetch,
  )


def _kind(tensors):
  """Which Gemma has these tensors."""
  parts = {name.split('.')[-2] for name in tensors if '.' in name}
  if 'post_attention_norm' not in parts:
    return 'gemma'
  if 'key_norm' in parts or 'query_norm' in parts:
    return 'gemma4'
  return 'gemma3' if '_query_norm' in parts else 'gemma2'
