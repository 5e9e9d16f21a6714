"""Checkpoints: models on disk, in our formats and in those of others."""

import re
from typing import Any

from etils import epath
from jax import sharding as jax_sharding

from speccascade.checkpoints import (
  hub,
  hugging_face,
  native,
  opened,
  orbax,
  reading,
  t5x,
)
from speccascade.models import base


def open(path: epath.PathLike, dtype: str = 'float32') -> opened.Checkpoint:
  """Opens a checkpoint for computing in `dtype`; its weights are not read.

  Args:
    path: a file of ours or of T5X; a folder in the layout of Hugging Face, or
      that Orbax or T5X wrote, local or on gs://; or the name of a model on the
      Hugging Face hub, such as 'google/gemma-2-2b', where there is no such
      folder.
    dtype: compute type, and type of the parameters.

  Raises:
    ValueError: there is no checkpoint, it is damaged, or its model is not
      supported; one line that names the file.
  """
  native.check_computes(dtype)
  place = hub.fetch(path) if hub.is_name(path) else epath.Path(path)
  if not place.exists():
    raise ValueError(f'{place}: no such checkpoint; check the path')
  if not place.is_dir():
    return (native if _is_native(place) else t5x).open(place, dtype)
  for kind in (orbax, t5x, hugging_face):
    if kind.is_one(place):
      return kind.open(place, dtype)
  raise ValueError(
    f'{place}: a folder without a checkpoint, of Hugging Face, Orbax or T5X; '
    'check the path'
  )


def load(
  path: epath.PathLike,
  dtype: str = 'float32',
  *,
  mesh: jax_sharding.Mesh | None = None,
  stacked: bool = False,
  weights: str | None = None,
) -> tuple[base.Config, dict[str, Any]]:
  """Loads a model for computing in `dtype`.

  Args:
    path: as of `open`.
    dtype: compute type, and type of the parameters.
    mesh: over which the parameters are sharded; None is one device.
    stacked: whether layers are stacked, for programs that scan over them.
    weights: 'int8' for kernels and tables in int8; None is `dtype`.

  Returns:
    (configuration, parameters).

  Raises:
    ValueError: as `open` does, or a tensor is missing, left over, damaged, not
      finite, or of another shape or type.
  """
  return reading.load(open(path, dtype), mesh, stacked, weights=weights)[:2]


def _is_native(path):
  """Whether a file may be ours: that of T5X begins as a msgpack of a map."""
  with path.open('rb') as file:
    start = file.read(9)
  return start[8:] == b'{' or not re.match(rb'[\x80-\x8f]', start)
