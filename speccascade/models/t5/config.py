"""T5's configurations: the sizes that were published, and tiny ones.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
Text-to-Text Transformer", JMLR 2020 (arXiv 1910.10683), version 1.0; version
1.1 and Flan-T5 have the GEGLU of Shazeer 2020 (arXiv 2002.05202) and untied,
unscaled output logits.

Shape letters are those of `speccascade.models`.
"""

import dataclasses

from speccascade.models import base


@dataclasses.dataclass(frozen=True)
class T5Config:
  """Architecture and compute settings.

  Attributes:
    vocab_size: V.
    num_layers: layers of the encoder.
    embed_dim: D.
    num_heads: N.
    head_dim: H; N * H need not be D.
    hidden_dim: F.
    num_decoder_layers: layers of the decoder; None is `num_layers`.
    input_length: most input tokens that a row may have; relative positions
      alone have no last one.
    gated: whether the feed-forward is GELU-gated (v1.1) or has one ReLU (1.0).
    tied_embeddings: whether the logits are computed with the embeddings.
    scales_output: whether the decoder's output is divided by the root of D.
    num_buckets: W, of relative positions; a multiple of 4.
    max_distance: relative positions from here on share a bucket, more than
      half of W.
    start_token: first input of the decoder.
    norm_epsilon: added to the mean square of what is normalised.
    dtype: compute type; softmax and logits are computed in float32 or wider.
  """

  vocab_size: int
  num_layers: base.Layers
  embed_dim: int
  num_heads: int
  head_dim: int
  hidden_dim: int
  num_decoder_layers: base.Layers | None = None
  input_length: int = 2**31 - 1
  gated: bool = True
  tied_embeddings: bool = False
  scales_output: bool = False
  num_buckets: int = 32
  max_distance: int = 128
  start_token: base.Token = 0
  norm_epsilon: float = 1e-6
  dtype: base.Dtype = 'float32'

  def __post_init__(self):
    if self.num_buckets % 4:
      raise ValueError(
        f'num_buckets={self.num_buckets} must be a multiple of 4'
      )
    if not self.num_buckets // 2 < self.max_distance <= 2**20:
      raise ValueError(
        f'max_distance={self.max_distance} must be more than half of '
        f'num_buckets={self.num_buckets}, and at most {2**20}'
      )

  @property
  def decoder_layers(self):
    """Layers of the decoder."""
    if self.num_decoder_layers is None:
      return self.num_layers
    return self.num_decoder_layers


def t5_v1_1_small(**overrides):
  """T5 v1.1 and Flan-T5 small: 76,961,152 parameters."""
  return _preset(8, 512, 6, 1024, overrides)


def t5_v1_1_base(**overrides):
  """T5 v1.1 and Flan-T5 base: 247,577,856 parameters."""
  return _preset(12, 768, 12, 2048, overrides)


def t5_v1_1_large(**overrides):
  """T5 v1.1 and Flan-T5 large: 783,150,080 parameters."""
  return _preset(24, 1024, 16, 2816, overrides)


def t5_v1_1_xl(**overrides):
  """T5 v1.1 and Flan-T5 XL: 2,849,757,184 parameters."""
  return _preset(24, 2048, 32, 5120, overrides)


def t5_v1_1_xxl(**overrides):
  """T5 v1.1 and Flan-T5 XXL: 11,135,332,352 parameters."""
  return _preset(24, 4096, 64, 10_240, overrides)


def t5_small(**overrides):
  """T5 1.0 small: 60,506,624 parameters."""
  return _first(6, 512, 8, 64, 2048, overrides)


def t5_base(**overrides):
  """T5 1.0 base: 222,903,552 parameters."""
  return _first(12, 768, 12, 64, 3072, overrides)


def t5_large(**overrides):
  """T5 1.0 large: 737,668,096 parameters."""
  return _first(24, 1024, 16, 64, 4096, overrides)


def t5_3b(**overrides):
  """T5 1.0 3B: 2,851,598,336 parameters."""
  return _first(24, 1024, 32, 128, 16_384, overrides)


def t5_11b(**overrides):
  """T5 1.0 11B: 11,307,321,344 parameters."""
  return _first(24, 1024, 128, 128, 65_536, overrides)


def _first(layers, width, heads, head, hidden, overrides):
  settings = dict(
    head_dim=head, gated=False, tied_embeddings=True, scales_output=True
  )
  return _preset(layers, width, heads, hidden, {**settings, **overrides})


def _preset(layers, width, heads, hidden, overrides):
  settings = dict(
    vocab_size=32_128,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    head_dim=64,
    hidden_dim=hidden,
    dtype='bfloat16',
  )
  return T5Config(**{**settings, **overrides})


_EXAMPLE = T5Config(
  vocab_size=20,
  num_layers=2,
  embed_dim=12,
  num_heads=4,
  head_dim=5,
  hidden_dim=16,
  input_length=30,
)

EXAMPLES = (
  dataclasses.replace(_EXAMPLE, num_decoder_layers=3),
  dataclasses.replace(
    _EXAMPLE, gated=False, tied_embeddings=True, scales_output=True
  ),
)
