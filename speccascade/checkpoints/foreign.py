"""What the formats of others have in common: a family reads its own names."""

import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from speccascade.checkpoints import opened
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.models import hugging_face, registry


def open(
  path: epath.Path,
  format_name: str,
  kind: str,
  tensors: Mapping[str, tensors_lib.Tensor],
  dtype: str,
  fields: Mapping[str, Any] | None = None,
) -> opened.Checkpoint:
  """Opens a checkpoint by the names of others.

  Args:
    path: of the checkpoint.
    format_name: of a format of families.
    kind: which of the format's models it is.
    tensors: by the names that the files have.
    dtype: compute type, and type of the parameters.
    fields: of the configuration file, if the format has one.

  Raises:
    ValueError: no family has models of this kind, or the configuration is not
      supported.
  """
  fields = {} if fields is None else fields
  family, form = _family(format_name, kind)
  tensors = _renamed(form.renamed, tensors)
  settings = form.settings(fields, tensors)
  try:
    config = registry.make_config(family.name, **settings | {'dtype': dtype})
  except ValueError as error:
    raise ValueError(_in_their_names(form, str(error))) from None
  return opened.Checkpoint(
    path=path,
    config=config,
    tensors=tensors,
    names=form.names(config),
    ignored=form.ignored,
    header=opened.header(fields, tensors),
  )


def _family(format_name, kind):
  """The family that has models of a kind, and how it reads the format."""
  known = []
  for family in registry.FAMILIES.values():
    form = family.formats.get(format_name)
    if form is None:
      continue
    if kind in form.kinds:
      return family, form
    known.extend(form.kinds)
  raise ValueError(
    f'models of type {kind!r:.80} are not supported, only {", ".join(known)}'
  )


def _in_their_names(form, message):
  """A message of our settings, by the fields that their file has."""
  if not form.taken:
    return message
  names = hugging_face.READ | {ours: x for x, ours in form.taken.items()}
  pattern = '|'.join(map(re.escape, names))
  return re.sub(rf'\b({pattern})(?==)', lambda x: names[x[0]], message)


def _renamed(patterns, tensors):
  """Tensors by names whose starts are replaced."""
  found = {}
  for name, tensor in tensors.items():
    for pattern, text in patterns:
      name, count = re.subn(rf'^(?:{pattern})', text, name)
      if count:
        break
    if name in found:
      raise ValueError(
        f'{found[name].name} and {tensor.name} are one tensor, {name}'
      )
    found[name] = tensor
  return found
