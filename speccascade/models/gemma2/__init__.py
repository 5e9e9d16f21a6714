"""Gemma 2."""

from speccascade.models import base
from speccascade.models.decoder import family
from speccascade.models.decoder import hugging_face as decoder
from speccascade.models.gemma2 import config, first, hugging_face, orbax

FAMILY = family.family(
  'gemma2',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('gemma2',),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=decoder.names,
      ignored=decoder.IGNORED,
    ),
    'gemma': base.Format(
      kinds=('gemma2',),
      settings=orbax.settings,
      names=orbax.names,
    ),
    'first': base.Format(settings=base.unscanned, names=first.names),
  },
)
