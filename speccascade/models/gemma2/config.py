"""Gemma 2's configurations: the sizes that were published, and tiny ones.

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size",
2024 (arXiv 2408.00118): grouped-query attention, RoPE, alternating
sliding-window and global layers, soft-capped attention and final logits,
pre- and post-norms with (1 + w) scales, GeGLU, tied and scaled embeddings.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar, Literal, get_args

from speccascade.models.decoder import config as decoder

_Kind = Literal['local', 'global']  # Of a layer's attention.


@dataclasses.dataclass(frozen=True)
class Gemma2Config(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  Attributes:
    query_scalar: queries are scaled by its inverse square root; None is H.
    attention_pattern: kind of each layer of a period, 'local' or 'global'.
    window: tokens a local layer sees, the current one included.
    attention_softcap: bound on the size of attention logits, if any.
    final_softcap: bound on the size of output logits, if any.
  """

  query_scalar: float | None = None
  attention_pattern: tuple[_Kind, ...] = ('local', 'global')
  window: int = 4096
  attention_softcap: float | None = 50.0
  final_softcap: float | None = 30.0

  activation: ClassVar[str] = 'gelu'
  norm_offset: ClassVar[int] = 1
  post_norms: ClassVar[bool] = True
  scales_embedding: ClassVar[bool] = True

  def __post_init__(self):
    super().__post_init__()
    object.__setattr__(self, 'attention_pattern', tuple(self.attention_pattern))
    unknown = set(self.attention_pattern) - set(get_args(_Kind))
    if unknown or not self.attention_pattern:
      raise ValueError(
        f'attention_pattern={self.attention_pattern} must be made of '
        "'local' and 'global'"
      )

  @property
  def kinds(self):
    """Of the layers of a period."""
    return tuple(
      self.kind(window=self.window if kind == 'local' else None)
      for kind in self.attention_pattern
    )

  @property
  def query_scale(self):
    """What queries are multiplied by."""
    return (self.query_scalar or self.head_dim) ** -0.5

  @property
  def attention_cap(self):
    """Bound on the size of attention logits."""
    return self.attention_softcap

  @property
  def final_cap(self):
    """Bound on the size of output logits."""
    return self.final_softcap


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
    dtype='bfloat16',
  )
  return Gemma2Config(**{**settings, **overrides})


EXAMPLES = (
  Gemma2Config(
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
  ),
)
