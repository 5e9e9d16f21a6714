"""A model that fewer devices split than a mesh has for models."""

import dataclasses
import functools
from typing import Any

from speccascade import sharding
from speccascade.models import base


@dataclasses.dataclass(frozen=True)
class Split:
  """A `base.Model`, all of whose functions are within `sharding.split_by`.

  Attributes:
    model: Model.
    devices: as of `sharding.split_by`.
  """

  model: base.Model
  devices: int

  def __getattr__(self, name: str) -> Any:
    """Returns what the model has."""
    if name.startswith('__'):
      raise AttributeError(name)
    found = getattr(self.model, name)
    if not callable(found):
      return found

    @functools.wraps(found)
    def within(*args, **named):
      with sharding.split_by(self.devices):
        return found(*args, **named)

    return within


def over(model: base.Model, devices: int | None) -> base.Model:
  """Returns the model, split over so many devices; None is all."""
  return model if devices is None else Split(model, devices)
