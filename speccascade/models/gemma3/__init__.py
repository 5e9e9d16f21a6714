"""Gemma 3, its text models."""

from speccascade.models import base
from speccascade.models.decoder import family
from speccascade.models.decoder import hugging_face as decoder
from speccascade.models.gemma3 import config, hugging_face, orbax

FAMILY = family.family(
  'gemma3',
  config.EXAMPLES,
  {
    'hugging_face': base.Format(
      kinds=('gemma3_text', 'gemma3'),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=decoder.names,
      # Beside the text model, files of 4B and more have one of images.
      renamed=(
        (r'(model\.language_model|language_model\.model)\.', 'model.'),
        (r'language_model\.lm_head\.', 'lm_head.'),
      ),
      ignored=(
        *decoder.IGNORED,
        r'(model\.)?(vision_tower|multi_modal_projector)\..*',
      ),
    ),
    'gemma': base.Format(
      kinds=('gemma3',),
      settings=orbax.settings,
      names=orbax.names,
      ignored=(r'(SigLiPFromPatches_0|transformer\.embedder\.mm_).*',),
    ),
  },
)
