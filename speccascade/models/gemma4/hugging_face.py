"""Reads Gemma 4's config.json, of the dense text model.

Fields that smaller and sparse models of the family have must be off.
"""

from speccascade.models import hugging_face
from speccascade.models.decoder import hugging_face as decoder

TAKEN = decoder.TAKEN | {
  'sliding_window': 'window',
  'final_logit_softcapping': 'final_softcap',
}
# What the fields mean where they are missing.
_DEFAULTS = {
  'vocab_size': 262_144,
  'num_hidden_layers': 30,
  'hidden_size': 2304,
  'num_attention_heads': 8,
  'num_key_value_heads': 4,
  'head_dim': 256,
  'intermediate_size': 9216,
  'max_position_embeddings': 131_072,
  'rms_norm_eps': 1e-6,
  'sliding_window': 512,
  'global_head_dim': 512,
  'attention_k_eq_v': False,
  'hidden_size_per_layer_input': 256,
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
      'attention_k_eq_v': (False, True),
      'hidden_activation': ('gelu_pytorch_tanh',),
      'attention_bias': (False,),
      'tie_word_embeddings': (True,),
      'use_bidirectional_attention': (None, 'vision'),
      'hidden_size_per_layer_input': (0,),
      'num_kv_shared_layers': (0,),
      'enable_moe_block': (False,),
      'use_double_wide_mlp': (False,),
    },
    used=(
      'global_head_dim',
      'layer_types',
      'num_global_key_value_heads',
      'per_layer_config',
      'rope_parameters',
      'vocab_size_per_layer_input',  # Of embeddings that are off.
    ),
  )
  decoder.check_tied(tensors)
  local_base, factor = hugging_face.rope(fields, 10_000.0, 'sliding_attention')
  if factor != 1:
    raise ValueError("rope_type='linear' of local layers is not supported")
  distant = fields.get('rope_parameters', {}).get('full_attention', {})
  if not isinstance(distant, dict):
    raise ValueError(f'full_attention={distant!r:.80} must be an object')
  distant = {'rope_type': 'proportional', **distant}
  if distant.pop('rope_type') != 'proportional':
    raise ValueError("rope_type of full_attention must be 'proportional'")
  fraction = distant.pop('partial_rotary_factor', 0.25)
  if not (isinstance(fraction, int | float) and 0 < fraction <= 1):
    raise ValueError(
      f'partial_rotary_factor={fraction!r:.80} must be above 0 and at most 1'
    )
  base, _ = hugging_face.rope({'rope_parameters': distant}, 1_000_000.0)
  return found | {
    **_global_heads(fields),
    'keys_as_values': fields['attention_k_eq_v'],
    'rope_base': base,
    'rope_fraction': fraction,
    'local_rope_base': local_base,
    'period': hugging_face.period(fields),
  }


def _global_heads(fields):
  """Number of key-value heads and width of the heads of global layers."""
  heads, width = fields['num_key_value_heads'], fields['global_head_dim']
  if fields['attention_k_eq_v']:
    heads = fields.get('num_global_key_value_heads', heads)
  told = fields.get('per_layer_config')  # As newer files tell the same.
  if told is not None:
    kinds = hugging_face.layer_kinds(fields)
    layers = {str(i) for i, kind in enumerate(kinds) if kind == 'global'}
    if not isinstance(told, dict) or not told or _indices(told) != layers:
      raise ValueError('per_layer_config must tell of the global layers')
    own, *others = told.values()
    if not isinstance(own, dict) or any(x != own for x in others):
      raise ValueError('per_layer_config must tell the same of each layer')
    unknown = own.keys() - {'head_dim', 'num_key_value_heads'}
    if unknown:
      raise ValueError(
        f'per_layer_config: {min(unknown)} of a layer is not supported'
      )
    heads = own.get('num_key_value_heads', fields['num_key_value_heads'])
    width = own.get('head_dim', fields['head_dim'])
  return {'num_global_kv_heads': heads, 'global_head_dim': width}


def _indices(names):
  return {x.lstrip('0') or '0' for x in names}  # All have as many digits.


def fields(config):
  """Returns the fields that tell a configuration."""
  return decoder.gemma_fields(config) | {
    'final_logit_softcapping': config.final_softcap,
    'attention_k_eq_v': config.keys_as_values,
    'global_head_dim': config.global_head_dim,
    'num_global_key_value_heads': config.num_global_kv_heads,
    'hidden_size_per_layer_input': 0,
    'rope_parameters': {
      'full_attention': {
        'rope_type': 'proportional',
        'rope_theta': config.rope_base,
        'partial_rotary_factor': config.rope_fraction,
      },
      'sliding_attention': {
        'rope_type': 'default',
        'rope_theta': config.local_rope_base,
      },
    },
  }
