"""Names of a decoder's parameters in Hugging Face files, and its settings."""

from collections.abc import Mapping
from typing import Any

from speccascade.models import hugging_face
from speccascade.models.decoder import config as config_lib

TAKEN = {
  'vocab_size': 'vocab_size',
  'num_hidden_layers': 'num_layers',
  'hidden_size': 'embed_dim',
  'num_attention_heads': 'num_heads',
  'num_key_value_heads': 'num_kv_heads',
  'head_dim': 'head_dim',
  'intermediate_size': 'hidden_dim',
  'max_position_embeddings': 'context_length',
  'rms_norm_eps': 'norm_epsilon',
}
# Computed of the settings, and a head that equals the embeddings.
IGNORED = (r'.*rotary_emb\.inv_freq', r'lm_head\.weight')

_TABLE = 'model.embed_tokens.weight'


def settings(
  fields: Mapping[str, Any], tensors: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the settings of Qwen and Llama.

  Args:
    fields: of a config.json.
    tensors: handles by name.

  Raises:
    ValueError: a field is missing or not supported.
  """
  found = hugging_face.settings(
    fields,
    TAKEN,
    fixed={
      'hidden_act': ('silu',),
      'attention_bias': (False,),
      'mlp_bias': (False,),
      'use_sliding_window': (False,),
    },
    used=(
      'layer_types',
      'rope_parameters',
      'rope_scaling',
      'rope_theta',
      'sliding_window',  # Not used, as `use_sliding_window` tells.
      'tie_word_embeddings',
    ),
    defaults=defaults(fields),
  )
  if 'local' in hugging_face.layer_kinds(fields):
    raise ValueError(
      'layer_types has sliding_attention, which is not supported'
    )
  base, factor = hugging_face.rope(fields, 10_000.0)
  if factor != 1:
    raise ValueError("rope_type='linear' is not supported in this family")
  tied = fields.get('tie_word_embeddings')
  tied = hugging_face.is_tied(tensors, _TABLE, False if tied is None else tied)
  return found | {'rope_base': base, 'tied_embeddings': tied}


def fields(config: config_lib.Config) -> dict[str, Any]:
  """Returns the fields of Qwen and Llama that tell a configuration."""
  own = {'hidden_act': 'silu', 'rope_theta': config.rope_base}
  return shared_fields(config) | own


def shared_fields(config: config_lib.Config) -> dict[str, Any]:
  """Returns the fields of all decoders that tell a configuration."""
  found = {theirs: getattr(config, ours) for theirs, ours in TAKEN.items()}
  return found | {'tie_word_embeddings': config.tied}


def gemma_fields(config: config_lib.Config) -> dict[str, Any]:
  """Returns the fields of all Gemmas that tell a configuration."""
  kinds = [
    config.kinds[i % len(config.kinds)] for i in range(config.num_layers)
  ]
  return shared_fields(config) | {
    'hidden_activation': 'gelu_pytorch_tanh',
    'sliding_window': config.window,
    'layer_types': [
      'sliding_attention' if kind.window else 'full_attention' for kind in kinds
    ],
  }


def check_tied(tensors: Mapping[str, Any]) -> None:
  """Raises ValueError if a file has a head that is not the embeddings."""
  if not hugging_face.is_tied(tensors, _TABLE, True):
    raise ValueError(
      'lm_head.weight differs from the embeddings, but this family has no head '
      'of its own'
    )


def defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what old files leave out: heads of one kind, of all the width."""
  heads, width = fields.get('num_attention_heads'), fields.get('hidden_size')
  if not (isinstance(heads, int) and isinstance(width, int) and heads > 0):
    return {}
  return {'num_key_value_heads': heads, 'head_dim': width // heads}


def names(config: config_lib.Config) -> dict[str, tuple[str, str]]:
  """Returns the name and the pattern of each parameter."""
  found = {
    'embedding': (_TABLE, 'V D -> V D'),
    'final_norm.scale': ('model.norm.weight', 'D -> D'),
  }
  if not config.tied:
    found['lm_head'] = ('lm_head.weight', 'V D -> V D')
  kinds = [_layer(config, kind) for kind in config.kinds]
  for i in range(config.num_layers):
    own = kinds[i % len(kinds)]
    found |= {
      f'layers_{i}.{ours}': (f'model.layers.{i}.{theirs}', pattern)
      for ours, (theirs, pattern) in own.items()
    }
  return found


def _layer(config, kind):
  found = {
    'pre_attention_norm.scale': ('input_layernorm.weight', 'D -> D'),
    'attention.query': ('self_attn.q_proj.weight', '(N H) D -> D N H'),
    'attention.key': ('self_attn.k_proj.weight', '(K H) D -> D K H'),
    'attention.value': ('self_attn.v_proj.weight', '(K H) D -> D K H'),
    'attention.out': ('self_attn.o_proj.weight', 'D (N H) -> N H D'),
    'ffw.gate': ('mlp.gate_proj.weight', 'F D -> D F'),
    'ffw.up': ('mlp.up_proj.weight', 'F D -> D F'),
    'ffw.down': ('mlp.down_proj.weight', 'D F -> F D'),
  }
  if kind.keys_as_values:
    del found['attention.value']
  if config.layer_scalar:
    found['scalar'] = ('layer_scalar', 'A -> A')
  if config.qkv_bias:
    found |= {
      'attention.query_bias': ('self_attn.q_proj.bias', '(N H) -> N H'),
      'attention.key_bias': ('self_attn.k_proj.bias', '(K H) -> K H'),
      'attention.value_bias': ('self_attn.v_proj.bias', '(K H) -> K H'),
    }
  if config.qk_norm:
    found |= {
      'attention.query_norm': ('self_attn.q_norm.weight', 'H -> H'),
      'attention.key_norm': ('self_attn.k_norm.weight', 'H -> H'),
    }
  norms = {'pre_ffw_norm': 'post_attention_layernorm'}
  if config.post_norms:
    norms = {
      'post_attention_norm': 'post_attention_layernorm',
      'pre_ffw_norm': 'pre_feedforward_layernorm',
      'post_ffw_norm': 'post_feedforward_layernorm',
    }
  return found | {
    f'{ours}.scale': (f'{theirs}.weight', 'D -> D')
    for ours, theirs in norms.items()
  }
