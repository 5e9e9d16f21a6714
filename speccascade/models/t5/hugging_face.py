"""T5's config.json, and the names of its parameters in Hugging Face files."""

from speccascade.models import hugging_face

_TABLE = 'shared.weight'
TAKEN = {
  'vocab_size': 'vocab_size',
  'num_layers': 'num_layers',
  'num_decoder_layers': 'num_decoder_layers',
  'd_model': 'embed_dim',
  'num_heads': 'num_heads',
  'd_kv': 'head_dim',
  'd_ff': 'hidden_dim',
  'layer_norm_epsilon': 'norm_epsilon',
  'decoder_start_token_id': 'start_token',
  'relative_attention_num_buckets': 'num_buckets',
  'relative_attention_max_distance': 'max_distance',
}
_GATED = {'gated-gelu': True, 'relu': False}


def settings(fields, tensors):
  """Returns the settings that config.json tells.

  Args:
    fields: of config.json.
    tensors: handles by name.

  Raises:
    ValueError: a field is missing or not supported.
  """
  found = hugging_face.settings(
    fields,
    TAKEN,
    fixed={
      'feed_forward_proj': ('relu', 'gated-gelu'),
      'dense_act_fn': ('relu', 'gelu_new'),
      'is_gated_act': (True, False),
    },
    used=('tie_word_embeddings', 'scale_decoder_outputs'),
    defaults={
      'num_decoder_layers': fields.get('num_layers'),
      'layer_norm_epsilon': 1e-6,
      'decoder_start_token_id': fields.get('pad_token_id', 0),
      'relative_attention_num_buckets': 32,
      'relative_attention_max_distance': 128,
    },
  )
  tied = fields.get('tie_word_embeddings')
  tied = True if tied is None else tied
  scaled = fields.get('scale_decoder_outputs')
  return found | {
    'gated': _GATED[fields.get('feed_forward_proj') or 'relu'],
    'tied_embeddings': hugging_face.is_tied(tensors, _TABLE, tied),
    'scales_output': tied if scaled is None else scaled,
  }


def names(config):
  """Returns the name and the pattern of each parameter."""
  found = {'embedding': (_TABLE, 'V D -> V D')}
  if not config.tied_embeddings:
    found['lm_head'] = ('lm_head.weight', 'V D -> V D')
  for half, layers in (
    ('encoder', config.num_layers),
    ('decoder', config.decoder_layers),
  ):
    bias = f'{half}.block.0.layer.0.SelfAttention.relative_attention_bias'
    found |= {
      f'{half}.positions.relative_bias': (f'{bias}.weight', 'W N -> W N'),
      f'{half}.final_norm.scale': (f'{half}.final_layer_norm.weight', 'D -> D'),
    }
    for i in range(layers):
      found |= {
        f'{half}.layers_{i}.{ours}': (f'{half}.block.{i}.layer.{theirs}', x)
        for ours, (theirs, x) in _layer(config, half == 'decoder').items()
      }
  return found


def _layer(config, decodes):
  found = _attention('attention', '0.SelfAttention')
  if decodes:
    found |= _attention('cross_attention', '1.EncDecAttention')
  last = 2 if decodes else 1
  kernels = {'gate': 'wi_0', 'up': 'wi_1'} if config.gated else {'up': 'wi'}
  found |= {
    f'ffw.{ours}': (f'{last}.DenseReluDense.{theirs}.weight', 'F D -> D F')
    for ours, theirs in kernels.items()
  }
  found['ffw.down'] = (f'{last}.DenseReluDense.wo.weight', 'D F -> F D')
  norms = {'attention_norm': 0, 'cross_attention_norm': 1, 'ffw_norm': last}
  return found | {
    f'{ours}.scale': (f'{i}.layer_norm.weight', 'D -> D')
    for ours, i in norms.items()
    if decodes or ours != 'cross_attention_norm'
  }


def _attention(ours, theirs):
  inputs = {'query': 'q', 'key': 'k', 'value': 'v'}
  found = {
    f'{ours}.{name}': (f'{theirs}.{x}.weight', '(N H) D -> D N H')
    for name, x in inputs.items()
  }
  return found | {f'{ours}.out': (f'{theirs}.o.weight', 'D (N H) -> N H D')}


def fields(config):
  """Returns the fields that tell a configuration."""
  found = {theirs: getattr(config, ours) for theirs, ours in TAKEN.items()}
  return found | {
    'num_decoder_layers': config.decoder_layers,
    'pad_token_id': config.start_token,
    'feed_forward_proj': 'gated-gelu' if config.gated else 'relu',
    'tie_word_embeddings': config.tied_embeddings,
    'scale_decoder_outputs': config.scales_output,
  }
