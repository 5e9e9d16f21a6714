"""Model families by name; `base` says what a family is."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Union

import pydantic

from speccascade import config as config_lib
from speccascade.models import (
  base,
  gemma2,
  gemma3,
  gemma4,
  llama,
  qwen2,
  qwen3,
  t5,
)

FAMILIES: dict[str, base.Family] = {
  family.name: family
  for family in (
    gemma2.FAMILY,
    gemma3.FAMILY,
    gemma4.FAMILY,
    llama.FAMILY,
    qwen2.FAMILY,
    qwen3.FAMILY,
    t5.FAMILY,
  )
}


def family(name: str) -> base.Family:
  """Returns the family of that name.

  Raises:
    ValueError: there is none.
  """
  if name not in FAMILIES:
    raise ValueError(
      f'unknown model family {name!r}; known: {", ".join(FAMILIES)}'
    )
  return FAMILIES[name]


def family_of(config: base.Config) -> base.Family:
  """Returns the family that a configuration is of."""
  for known in FAMILIES.values():
    if type(config) is known.config:
      return known
  raise ValueError(f'{type(config).__name__} is of no registered model family')


def make_config(name: str, /, **settings: Any) -> base.Config:
  """Returns the configuration of a family with these settings.

  They must have the types that the family's dataclass gives its fields, and
  numbers must be positive, integers of int32 and others from 2**-60 to 2**60.

  Raises:
    ValueError: there is no such family, or the settings are not its own.
  """
  kind = family(name).config
  settings = {
    key: tuple(x) if isinstance(x, list) else x for key, x in settings.items()
  }
  try:
    return kind(**dict(config_lib.parse(_schema(kind), settings)))
  except ValueError as error:
    raise ValueError(f'wrong settings of a {name} model: {error}') from None


@functools.cache
def _schema(kind):
  """The schema of a family's settings."""
  hints = typing.get_type_hints(kind, include_extras=True)
  hints['dtype'] = base.Dtype
  fields = {
    field.name: (
      _positive(hints[field.name]),
      ... if field.default is dataclasses.MISSING else field.default,
    )
    for field in dataclasses.fields(kind)
  }
  return pydantic.create_model(
    kind.__name__, __base__=config_lib.Schema, **fields
  )


def _positive(hint):
  """The type of a setting, whose numbers are positive."""
  if typing.get_origin(hint) in (Union, types.UnionType):
    return Union[tuple(map(_positive, typing.get_args(hint)))]  # noqa: UP007
  if hint is int:
    return Annotated[int, pydantic.Field(ge=1, lt=2**31)]
  if hint is float:  # Products and quotients of which float32 can tell.
    return Annotated[float, pydantic.Field(ge=2.0**-60, le=2.0**60)]
  return hint


def make_model(config: base.Config) -> base.Model:
  """Returns the model that a configuration describes."""
  return family_of(config).model(config)


def limited(config: base.Config, trained: Mapping[str, Any]) -> base.Config:
  """Limits a configuration to the lengths that its model was trained on.

  Args:
    config: of any family.
    trained: the training config, or what is known of it.

  Returns:
    The configuration; lengths that `trained` does not name are unchanged.

  Raises:
    ValueError: a length is no number, or more than the configuration has.
  """
  lengths = {}
  for field, source in family_of(config).lengths.items():
    length, most = trained.get(source), getattr(config, field)
    if length is None:
      continue
    if type(length) is not int or not 1 <= length <= most:
      raise ValueError(
        f'{source}={length!r:.40} must be a whole number from 1 to {most}, the '
        f"model's {field}"
      )
    lengths[field] = length
  return dataclasses.replace(config, **lengths)


def with_lengths_of(config: base.Config, other: base.Config) -> base.Config:
  """Gives `config` the lengths of `other`, if both are of one family."""
  if family_of(config) is not family_of(other):
    return config
  fields = family_of(config).lengths
  return dataclasses.replace(config, **{f: getattr(other, f) for f in fields})
