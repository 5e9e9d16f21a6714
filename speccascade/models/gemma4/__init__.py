"""Gemma 4, its dense text model."""

from speccascade.models import base
from speccascade.models.decoder import family
from speccascade.models.decoder import hugging_face as decoder
from speccascade.models.gemma3 import FAMILY as GEMMA3
from speccascade.models.gemma4 import config, hugging_face

_BEFORE = GEMMA3.formats['hugging_face']

FAMILY = family.family(
  'gemma4',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('gemma4_text', 'gemma4'),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=decoder.names,
      renamed=_BEFORE.renamed,
      ignored=(
        *decoder.IGNORED,
        r'(model\.)?(vision_tower|audio_tower|embed_vision|embed_audio)\..*',
      ),
    )
  },
)
