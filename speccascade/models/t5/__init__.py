"""T5: versions 1.0 and 1.1, and Flan-T5."""

from speccascade.models import base
from speccascade.models.t5 import (
  config,
  first,
  hugging_face,
  model,
  partition,
  t5x,
)

FAMILY = base.Family(
  name='t5',
  config=config.T5Config,
  model=model.T5,
  partition=partition.PARTITION,
  encodes_input=True,
  lengths={'input_length': 'input_length'},
  examples=config.EXAMPLES,
  formats={
    'hugging_face': base.Format(
      kinds=('t5',),
      settings=hugging_face.settings,
      fields=hugging_face.fields,
      taken=hugging_face.TAKEN,
      names=hugging_face.names,
      ignored=(
        r'(encoder|decoder)\.embed_tokens\.weight',
        r'decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias'
        r'\.weight',
        r'lm_head\.weight',
      ),
    ),
    't5x': base.Format(kinds=('t5',), settings=t5x.settings, names=t5x.names),
    'first': base.Format(settings=base.unscanned, names=first.names),
  },
)
