"""Qwen3, dense."""

from speccascade.models import base
from speccascade.models.decoder import family, hugging_face
from speccascade.models.qwen3 import config

FAMILY = family.family(
  'qwen3',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('qwen3',),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=hugging_face.names,
      ignored=hugging_face.IGNORED,
    )
  },
)
