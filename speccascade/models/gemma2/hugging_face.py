"""Reads Gemma 2's config.json."""

from speccascade.models import hugging_face
from speccascade.models.decoder import hugging_face as decoder

TAKEN = decoder.TAKEN | {
  'query_pre_attn_scalar': 'query_scalar',
  'sliding_window': 'window',
}
# What the fields mean where they are missing: Gemma 2 2B.
_DEFAULTS = {
  'vocab_size': 256_000,
  'num_hidden_layers': 26,
  'hidden_size': 2304,
  'num_attention_heads': 8,
  'num_key_value_heads': 4,
  'head_dim': 256,
  'intermediate_size': 9216,
  'max_position_embeddings': 8192,
  'rms_norm_eps': 1e-6,
  'query_pre_attn_scalar': 256,
  'sliding_window': 4096,
  'attn_logit_softcapping': 50.0,
  'final_logit_softcapping': 30.0,
}
# Of these fields null has a meaning of its own: no cap.
_CAPS = {
  'attn_logit_softcapping': 'attention_softcap',
  'final_logit_softcapping': 'final_softcap',
}


def settings(fields, tensors):
  """Returns the settings that config.json tells.

  Args:
    fields: of config.json.
    tensors: handles by name.

  Raises:
    ValueError: a field is not supported.
  """
  fields = _DEFAULTS | {
    k: v for k, v in fields.items() if v is not None or k in _CAPS
  }
  found = hugging_face.settings(
    fields,
    TAKEN,
    fixed={
      'hidden_activation': ('gelu_pytorch_tanh',),
      'hidden_act': ('gelu_pytorch_tanh',),
      'attention_bias': (False,),
      'tie_word_embeddings': (True,),
      'use_bidirectional_attention': (False,),
    },
    used=(
      *_CAPS,
      'layer_types',
      'rope_parameters',
      'rope_scaling',
      'rope_theta',
      'sliding_window_size',  # As `sliding_window`, in old files.
    ),
  )
  decoder.check_tied(tensors)
  base, factor = hugging_face.rope(fields, 10_000.0)
  if factor != 1:
    raise ValueError("rope_type='linear' is not supported in this family")
  found |= {ours: fields[theirs] for theirs, ours in _CAPS.items()}
  return found | {'rope_base': base, 'attention_pattern': _pattern(fields)}


def _pattern(fields):
  """The shortest pattern of which the kinds of all layers are repetitions."""
  kinds = hugging_face.layer_kinds(fields) or ('local', 'global')
  for period in range(1, len(kinds)):
    if all(kind == kinds[i % period] for i, kind in enumerate(kinds)):
      return kinds[:period]
  return kinds


def fields(config):
  """Returns the fields that tell a configuration."""
  return decoder.gemma_fields(config) | {
    'query_pre_attn_scalar': hugging_face.whole(
      config.query_scalar or config.head_dim
    ),
    'attn_logit_softcapping': config.attention_softcap,
    'final_logit_softcapping': config.final_softcap,
    'rope_theta': config.rope_base,
  }
