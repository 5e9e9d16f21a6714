"""Gemma 2's configurations: the sizes that were published, and tiny ones.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import Literal, get_args

from speccascade.models import base

_Kind = Literal['local', 'global']  # Of a layer's attention.


@dataclasses.dataclass(frozen=True)
class GemmaConfig:
  """Architecture and compute settings.

  Attributes:
    vocab_size: V.
    num_layers: a multiple of the length of `attention_pattern`.
    embed_dim: D.
    num_heads: N.
    num_kv_heads: K, a divisor of N.
    head_dim: H, even.
    hidden_dim: F.
    query_scalar: queries are scaled by its inverse square root; None is H.
    attention_pattern: kind of each layer of a period, 'local' or 'global'.
    window: tokens a local layer sees, the current one included.
    attention_softcap: bound on the size of attention logits.
    final_softcap: bound on the size of output logits.
    rope_base: base wavelength of the rotary embedding, at least 1.
    context_length: most tokens, prompt and answer, that a row may have.
    scan_layers: scan one compiled period over stacked parameters (large
      models compile fast) or unroll all layers (small models run fast).
    dtype: compute type; softmax and logits are computed in float32 or wider.
  """

  vocab_size: int
  num_layers: base.Layers
  embed_dim: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  hidden_dim: int
  query_scalar: float | None = None
  attention_pattern: tuple[_Kind, ...] = ('local', 'global')
  window: int = 4096
  attention_softcap: float = 50.0
  final_softcap: float = 30.0
  rope_base: float = 10_000.0
  context_length: int = 8192
  scan_layers: bool = False
  dtype: base.Dtype = 'float32'

  def __post_init__(self):
    object.__setattr__(self, 'attention_pattern', tuple(self.attention_pattern))
    unknown = set(self.attention_pattern) - set(get_args(_Kind))
    if unknown or not self.attention_pattern:
      raise ValueError(
        f'attention_pattern={self.attention_pattern} must be made of '
        "'local' and 'global'"
      )
    for whole, part in (
      ('num_layers', len(self.attention_pattern)),
      ('num_heads', self.num_kv_heads),
      ('head_dim', 2),
    ):
      if getattr(self, whole) % part:
        raise ValueError(
          f'{whole}={getattr(self, whole)} must be a multiple of {part}'
        )
    if self.rope_base < 1:
      raise ValueError(f'rope_base={self.rope_base} must be at least 1')

  @property
  def unrolled_layers(self):
    """Layers that have tensors of their own."""
    return 0 if self.scan_layers else self.num_layers

  @property
  def windows(self):
    """Window of each layer of a period; None for a global layer."""
    return tuple(
      self.window if kind == 'local' else None
      for kind in self.attention_pattern
    )


def gemma2_2b(**overrides):
  """Gemma 2 2B: 2,614,341,888 parameters."""
  return _preset(26, 2304, 8, 4, 256, 9216, 256.0, overrides)


def gemma2_9b(**overrides):
  """Gemma 2 9B: 9,241,705,984 parameters."""
  return _preset(42, 3584, 16, 8, 256, 14336, 256.0, overrides)


def gemma2_27b(**overrides):
  """Gemma 2 27B: 27,227,128,320 parameters."""
  return _preset(46, 4608, 32, 16, 128, 36864, 144.0, overrides)


def _preset(layers, width, heads, kv_heads, head, hidden, scalar, overrides):
  settings = dict(
    vocab_size=256_000,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=head,
    hidden_dim=hidden,
    query_scalar=scalar,
    scan_layers=True,
    dtype='bfloat16',
  )
  return GemmaConfig(**{**settings, **overrides})


_EXAMPLE = GemmaConfig(
  vocab_size=20,
  num_layers=4,
  embed_dim=12,
  num_heads=4,
  num_kv_heads=2,
  head_dim=6,
  hidden_dim=20,
  query_scalar=9.0,
  window=4,
  context_length=48,
)

EXAMPLES = (_EXAMPLE, dataclasses.replace(_EXAMPLE, scan_layers=True))
