"""Llama-shaped models."""

from speccascade.models import base
from speccascade.models.decoder import family, hugging_face
from speccascade.models.llama import config

FAMILY = family.family(
  'llama',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('llama',),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=hugging_face.names,
      ignored=hugging_face.IGNORED,
    )
  },
)
