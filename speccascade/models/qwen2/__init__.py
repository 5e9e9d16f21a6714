"""Qwen2 and Qwen2.5, dense."""

from speccascade.models import base
from speccascade.models.decoder import family, hugging_face
from speccascade.models.qwen2 import config

FAMILY = family.family(
  'qwen2',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('qwen2',),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=hugging_face.names,
      ignored=hugging_face.IGNORED,
    )
  },
)
