"""What the families of decoders have in common."""

from collections.abc import Mapping

from speccascade.models import base
from speccascade.models.decoder import config as config_lib
from speccascade.models.decoder import model, partition


def family(
  name: str,
  examples: tuple[config_lib.Config, ...],
  formats: Mapping[str, base.Format],
) -> base.Family:
  """Returns the family of these examples' configurations."""
  return base.Family(
    name=name,
    config=type(examples[0]),
    model=model.Decoder,
    partition=partition.PARTITION,
    lengths={'context_length': 'length'},
    examples=examples,
    formats=formats,
  )
