"""Reads Gemma 3's config.json, of text models and of those with images."""

from speccascade.models import hugging_face
from speccascade.models.decoder import hugging_face as decoder

TAKEN = decoder.TAKEN | {
  'query_pre_attn_scalar': 'query_scalar',
  'sliding_window': 'window',
}
# What the fields mean where they are missing: files of 4B and more have few.
_DEFAULTS = {
  'vocab_size': 262_208,
  'num_hidden_layers': 26,
  'hidden_size': 2304,
  'num_attention_heads': 8,
  'num_key_value_heads': 4,
  'head_dim': 256,
  'intermediate_size': 9216,
  'max_position_embeddings': 131_072,
  'rms_norm_eps': 1e-6,
  'query_pre_attn_scalar': 256,
  'sliding_window': 4096,
}


def settings(fields, tensors):
  """Returns the settings that config.json tells.

  Args:
    fields: of config.json; those of the text model may be in `text_config`.
    tensors: handles by name.

  Raises:
    ValueError: a field is not supported.
  """
  fields = hugging_face.of_text(fields, _DEFAULTS)
  found = hugging_face.settings(
    fields,
    TAKEN,
    fixed={
      'hidden_activation': ('gelu_pytorch_tanh',),
      'attention_bias': (False,),
      'attn_logit_softcapping': (None,),
      'final_logit_softcapping': (None,),
      'tie_word_embeddings': (True,),
      'use_bidirectional_attention': (False,),
    },
    used=(
      'layer_types',
      'rope_local_base_freq',
      'rope_parameters',
      'rope_scaling',
      'rope_theta',
      'sliding_window_pattern',
    ),
  )
  decoder.check_tied(tensors)
  base, factor = hugging_face.rope(fields, 1_000_000.0, 'full_attention')
  local = {
    'rope_parameters': fields.get('rope_parameters'),
    'rope_theta': fields.get('rope_local_base_freq'),
  }
  local_base, local_factor = hugging_face.rope(
    local, 10_000.0, 'sliding_attention'
  )
  if local_factor != 1:
    raise ValueError("rope_type='linear' of local layers is not supported")
  return found | {
    'rope_base': base,
    'rope_factor': factor,
    'local_rope_base': local_base,
    'period': hugging_face.period(fields),
  }


def fields(config):
  """Returns the fields that tell a configuration."""
  return decoder.gemma_fields(config) | {
    'query_pre_attn_scalar': hugging_face.whole(
      config.query_scalar or config.head_dim
    ),
    'rope_theta': config.rope_base,
    'rope_local_base_freq': config.local_rope_base,
    'rope_scaling': {'rope_type': 'linear', 'factor': config.rope_factor},
  }
