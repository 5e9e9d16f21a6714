"""Gemma 4's configurations, of its dense text model: the published, and tiny.

As Gemma 3 with scales w in place of (1 + w), values that are normalised,
unscaled queries, soft-capped logits, a number that multiplies each layer's
output, and global layers with heads of another width, of which keys serve as
values and only a part is rotated. The smaller and the sparse models of the
family have more that is not here.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar

from speccascade.models.decoder import config as decoder


@dataclasses.dataclass(frozen=True)
class Gemma4Config(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  `num_kv_heads` and `head_dim` are those of the local layers, `rope_base` that
  of the global layers.

  Attributes:
    num_global_kv_heads: K of global layers.
    global_head_dim: H of global layers.
    keys_as_values: whether keys of global layers serve as values.
    period: layers of a period; its last one is global, the others are local.
    window: tokens a local layer sees, the current one included.
    local_rope_base: base wavelength of the local layers.
    rope_fraction: of the pairs of a global head that are rotated.
    final_softcap: bound on the size of output logits.
  """

  num_global_kv_heads: int = dataclasses.field(kw_only=True)
  global_head_dim: int = 512
  keys_as_values: bool = True
  rope_base: float = 1_000_000.0
  context_length: int = 262_144
  period: int = 6
  window: int = 1024
  local_rope_base: float = 10_000.0
  rope_fraction: float = 0.25
  final_softcap: float = 30.0

  activation: ClassVar[str] = 'gelu'
  post_norms: ClassVar[bool] = True
  qk_norm: ClassVar[bool] = True
  value_norm: ClassVar[bool] = True
  layer_scalar: ClassVar[bool] = True
  scales_embedding: ClassVar[bool] = True

  def __post_init__(self):
    super().__post_init__()
    for whole, part in (
      ('num_heads', self.num_global_kv_heads),
      ('global_head_dim', 2),
    ):
      if getattr(self, whole) % part:
        raise ValueError(
          f'{whole}={getattr(self, whole)} must be a multiple of {part}'
        )

  @property
  def kinds(self):
    """Of the layers of a period."""
    local = self.kind(window=self.window, rope_base=self.local_rope_base)
    distant = self.kind(
      num_kv_heads=self.num_global_kv_heads,
      head_dim=self.global_head_dim,
      rope_fraction=self.rope_fraction,
      keys_as_values=self.keys_as_values,
    )
    return (*[local] * (self.period - 1), distant)

  @property
  def query_scale(self):
    """What queries are multiplied by."""
    return 1.0

  @property
  def final_cap(self):
    """Bound on the size of output logits."""
    return self.final_softcap


def gemma4_31b(**overrides):
  """Gemma 4 31B, text alone: 30,697,345,280 parameters and 60 scalars."""
  settings = dict(
    vocab_size=262_144,
    num_layers=60,
    embed_dim=5376,
    num_heads=32,
    num_kv_heads=16,
    head_dim=256,
    hidden_dim=21_504,
    num_global_kv_heads=4,
    dtype='bfloat16',
  )
  return Gemma4Config(**{**settings, **overrides})


EXAMPLES = (
  Gemma4Config(
    vocab_size=20,
    num_layers=5,  # Two periods and a layer.
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    hidden_dim=20,
    num_global_kv_heads=1,
    global_head_dim=8,
    period=2,
    window=4,
    context_length=48,
  ),
)
