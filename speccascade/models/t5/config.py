"""T5's configurations: the sizes that were published, and tiny ones.

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
    input_length: most input tokens that a row may have.
    scan_layers: scan one compiled layer over stacked parameters (large
      models compile fast) or unroll all layers (small models run fast).
    dtype: compute type; softmax and logits are computed in float32 or wider.
  """

  vocab_size: int
  num_layers: base.Layers
  embed_dim: int
  num_heads: int
  head_dim: int
  hidden_dim: int
  num_decoder_layers: base.Layers | None = None
  input_length: int = 512
  scan_layers: bool = False
  dtype: base.Dtype = 'float32'

  @property
  def unrolled_layers(self):
    """Layers that have tensors of their own."""
    return 0 if self.scan_layers else self.num_layers + self.decoder_layers

  @property
  def decoder_layers(self):
    """Layers of the decoder."""
    if self.num_decoder_layers is None:
      return self.num_layers
    return self.num_decoder_layers


def t5_small(**overrides):
  """T5 v1.1 small: 76,961,152 parameters."""
  return _preset(8, 512, 6, 1024, overrides)


def t5_base(**overrides):
  """T5 v1.1 base: 247,577,856 parameters."""
  return _preset(12, 768, 12, 2048, overrides)


def t5_large(**overrides):
  """T5 v1.1 large: 783,150,080 parameters."""
  return _preset(24, 1024, 16, 2816, overrides)


def t5_xl(**overrides):
  """T5 v1.1 XL: 2,849,757,184 parameters."""
  return _preset(24, 2048, 32, 5120, overrides)


def _preset(layers, width, heads, hidden, overrides):
  settings = dict(
    vocab_size=32_128,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    head_dim=64,
    hidden_dim=hidden,
    scan_layers=True,
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
  _EXAMPLE,
  dataclasses.replace(_EXAMPLE, num_decoder_layers=3, scan_layers=True),
)
