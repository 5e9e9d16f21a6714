"""Model families by name; `base` says what a family is."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from speccascade.models import base
from speccascade.models.gemma import model as gemma
from speccascade.models.t5 import model as t5

FAMILIES: dict[str, base.Family] = {
  family.name: family
  for family in (
    gemma.FAMILY,
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


def make_config(name: str, **settings: Any) -> base.Config:
  """Returns the configuration of a family with these settings.

  Raises:
    ValueError: there is no such family, or the settings are not its own.
  """
  make = family(name).config
  try:
    return make(**settings)
  except (TypeError, ValueError) as error:
    raise ValueError(f'wrong settings of a {name} model: {error}') from None


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
  """
  lengths = {
    field: trained[source]
    for field, source in family_of(config).lengths.items()
    if trained.get(source) is not None
  }
  return dataclasses.replace(config, **lengths)


def with_lengths_of(config: base.Config, other: base.Config) -> base.Config:
  """Gives `config` the lengths of `other`, if both are of one family."""
  if family_of(config) is not family_of(other):
    return config
  fields = family_of(config).lengths
  return dataclasses.replace(config, **{f: getattr(other, f) for f in fields})
