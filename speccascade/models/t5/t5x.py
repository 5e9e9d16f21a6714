"""T5X's names of T5's parameters, and the sizes that they tell."""

from collections.abc import Mapping
from typing import Any

_TABLE = 'token_embedder.embedding'


def settings(
  fields: Mapping[str, Any], tensors: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the settings that the shapes of tensors tell.

  Args:
    fields: none; T5X keeps a model's configuration elsewhere.
    tensors: handles by name.

  Raises:
    ValueError: a tensor that tells a size is missing.
  """
  del fields
  heads, _ = _shape(tensors, 'encoder.relpos_bias.rel_embedding', 2)
  vocab, width = _shape(tensors, _TABLE, 2)
  first = 'encoder.layers_0'
  gated = f'{first}.mlp.wi_0.kernel' in tensors
  up = f'{first}.mlp.{"wi_1" if gated else "wi"}.kernel'
  tied = 'decoder.logits_dense.kernel' not in tensors
  return {
    'vocab_size': vocab,
    'num_layers': _count(tensors, 'encoder'),
    'num_decoder_layers': _count(tensors, 'decoder'),
    'embed_dim': width,
    'num_heads': heads,
    'head_dim': _shape(tensors, f'{first}.attention.query.kernel', 2)[1]
    // heads,
    'hidden_dim': _shape(tensors, up, 2)[1],
    'gated': gated,
    'tied_embeddings': tied,
    'scales_output': tied,
  }


def _shape(tensors, name, ndim):
  if name not in tensors or len(tensors[name].shape) != ndim:
    raise ValueError(f'it has no tensor {name} of {ndim} axes')
  return tensors[name].shape


def _count(tensors, half):
  start = f'{half}.layers_'
  layers = {x.split('.')[1] for x in tensors if x.startswith(start)}
  return len(layers)


def names(config):
  """Returns the name and the pattern of each parameter."""
  found = {'embedding': (_TABLE, 'V D -> V D')}
  if not config.tied_embeddings:
    found['lm_head'] = ('decoder.logits_dense.kernel', 'D V -> V D')
  for half, layers in (
    ('encoder', config.num_layers),
    ('decoder', config.decoder_layers),
  ):
    bias = f'{half}.relpos_bias.rel_embedding'
    found |= {
      f'{half}.positions.relative_bias': (bias, 'N W -> W N'),
      f'{half}.final_norm.scale': (f'{half}.{half}_norm.scale', 'D -> D'),
    }
    own = _layer(config, half == 'decoder')
    for i in range(layers):
      found |= {
        f'{half}.layers_{i}.{ours}': (f'{half}.layers_{i}.{theirs}', pattern)
        for ours, (theirs, pattern) in own.items()
      }
  return found


def _layer(config, decodes):
  attention = 'self_attention' if decodes else 'attention'
  found = _attention('attention', attention)
  norms = {'attention_norm': attention, 'ffw_norm': 'mlp'}
  if decodes:
    found |= _attention('cross_attention', 'encoder_decoder_attention')
    norms['cross_attention_norm'] = 'cross_attention'
  kernels = {'gate': 'wi_0', 'up': 'wi_1'} if config.gated else {'up': 'wi'}
  found |= {
    f'ffw.{ours}': (f'mlp.{theirs}.kernel', 'D F -> D F')
    for ours, theirs in kernels.items()
  }
  found['ffw.down'] = ('mlp.wo.kernel', 'F D -> F D')
  return found | {
    f'{ours}.scale': (f'pre_{theirs}_layer_norm.scale', 'D -> D')
    for ours, theirs in norms.items()
  }


def _attention(ours, theirs):
  found = {
    f'{ours}.{name}': (f'{theirs}.{name}.kernel', 'D (N H) -> D N H')
    for name in ('query', 'key', 'value')
  }
  return found | {f'{ours}.out': (f'{theirs}.out.kernel', '(N H) D -> N H D')}
