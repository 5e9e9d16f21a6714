"""Gemma 3's configurations, of its text models: published and tiny ones.

Gemma Team, "Gemma 3 Technical Report", 2025 (arXiv 2503.19786): as Gemma 2
without soft caps, with normalised queries and keys, five sliding-window layers
to a global one, a rotary base for each of the two, and, from 4B on, positions
of global layers divided by 8.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar

from speccascade.models.decoder import config as decoder


@dataclasses.dataclass(frozen=True)
class Gemma3Config(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  `rope_base` is that of the global layers.

  Attributes:
    query_scalar: queries are scaled by its inverse square root; None is H.
    period: layers of a period; its last one is global, the others are local.
    window: tokens a local layer sees, the current one included.
    local_rope_base: base wavelength of the local layers.
    rope_factor: positions of global layers are divided by it.
  """

  rope_base: float = 1_000_000.0
  context_length: int = 32_768
  query_scalar: float | None = None
  period: int = 6
  window: int = 512
  local_rope_base: float = 10_000.0
  rope_factor: float = 1.0

  activation: ClassVar[str] = 'gelu'
  norm_offset: ClassVar[int] = 1
  post_norms: ClassVar[bool] = True
  qk_norm: ClassVar[bool] = True
  scales_embedding: ClassVar[bool] = True

  @property
  def kinds(self):
    """Of the layers of a period."""
    local = self.kind(window=self.window, rope_base=self.local_rope_base)
    distant = self.kind(rope_factor=self.rope_factor)
    return (*[local] * (self.period - 1), distant)

  @property
  def query_scale(self):
    """What queries are multiplied by."""
    return (self.query_scalar or self.head_dim) ** -0.5


def gemma3_270m(**overrides):
  """Gemma 3 270M: 268,098,176 parameters."""
  return _preset(18, 640, 4, 1, 256, 2048, 512, overrides)


def gemma3_1b(**overrides):
  """Gemma 3 1B: 999,885,952 parameters."""
  return _preset(26, 1152, 4, 1, 256, 6912, 512, overrides)


def gemma3_4b(**overrides):
  """Gemma 3 4B without its vision encoder: 3,880,263,168 parameters."""
  return _large(34, 2560, 8, 4, 256, 10_240, overrides)


def gemma3_12b(**overrides):
  """Gemma 3 12B without its vision encoder: 11,766,034,176 parameters."""
  return _large(48, 3840, 16, 8, 256, 15_360, overrides)


def gemma3_27b(**overrides):
  """Gemma 3 27B without its vision encoder: 27,009,346,304 parameters."""
  overrides = {'query_scalar': 168.0, **overrides}
  return _large(62, 5376, 32, 16, 128, 21_504, overrides)


def _large(layers, width, heads, kv_heads, head, hidden, overrides):
  settings = dict(
    vocab_size=262_208,
    rope_factor=8.0,
    context_length=131_072,
  )
  return _preset(
    layers,
    width,
    heads,
    kv_heads,
    head,
    hidden,
    1024,
    {**settings, **overrides},
  )


def _preset(layers, width, heads, kv_heads, head, hidden, window, overrides):
  settings = dict(
    vocab_size=262_144,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=head,
    hidden_dim=hidden,
    query_scalar=256.0,
    window=window,
    dtype='bfloat16',
  )
  return Gemma3Config(**{**settings, **overrides})


EXAMPLES = (
  Gemma3Config(
    vocab_size=20,
    num_layers=5,  # Two periods and a layer.
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    hidden_dim=20,
    query_scalar=9.0,
    period=2,
    window=4,
    rope_factor=8.0,
    context_length=48,
  ),
)
