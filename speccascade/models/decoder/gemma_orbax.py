"""DeepMind's names of Gemma's parameters, and which model has their sizes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from speccascade.models.decoder import config as config_lib

_TABLE = 'transformer.embedder.input_embedding'


def preset(
  presets: Iterable[Callable[[], config_lib.Config]],
  tensors: Mapping[str, Any],
) -> config_lib.Config:
  """Returns the published configuration of which these tensors are.

  The files hold no configuration, and shapes do not tell windows and the like.

  Args:
    presets: functions that return the published configurations.
    tensors: handles by name.

  Raises:
    ValueError: none has their sizes.
  """
  if _TABLE not in tensors or len(tensors[_TABLE].shape) != 2:
    raise ValueError(f'it has no tensor {_TABLE} of 2 axes')
  width = tensors[_TABLE].shape[1]
  start = 'transformer.layer_'
  layers = {name.split('.')[1] for name in tensors if name.startswith(start)}
  for make in presets:
    found = make()
    if (found.num_layers, found.embed_dim) == (len(layers), width):
      return found
  raise ValueError(
    f'no published model has {len(layers)} layers of width {width}'
  )


def names(config: config_lib.Config, gating: str) -> dict[str, tuple[str, str]]:
  """Returns the name and the pattern of each parameter.

  Args:
    config: of a Gemma.
    gating: axes of the two projections of a feed-forward, 'D F' or 'F D'.
  """
  found = {
    'embedding': (_TABLE, 'V D -> V D'),
    'final_norm.scale': ('transformer.final_norm.scale', 'D -> D'),
  }
  own = {
    'attention.query': ('attn.q_einsum.w', 'N D H -> D N H'),
    'attention.key': ('attn.kv_einsum.w', '0 K D H -> D K H'),
    'attention.value': ('attn.kv_einsum.w', '1 K D H -> D K H'),
    'attention.out': ('attn.attn_vec_einsum.w', 'N H D -> N H D'),
    'ffw.gate': ('mlp.gating_einsum.w', f'0 {gating} -> D F'),
    'ffw.up': ('mlp.gating_einsum.w', f'1 {gating} -> D F'),
    'ffw.down': ('mlp.linear.w', 'F D -> F D'),
  }
  if config.qk_norm:
    own |= {
      'attention.query_norm': ('attn._query_norm.scale', 'H -> H'),
      'attention.key_norm': ('attn._key_norm.scale', 'H -> H'),
    }
  own |= {
    f'{name}.scale': (f'{name}.scale', 'D -> D')
    for name in (
      'pre_attention_norm',
      'post_attention_norm',
      'pre_ffw_norm',
      'post_ffw_norm',
    )
  }
  for i in range(config.num_layers):
    found |= {
      f'layers_{i}.{ours}': (f'transformer.layer_{i}.{theirs}', pattern)
      for ours, (theirs, pattern) in own.items()
    }
  return found
