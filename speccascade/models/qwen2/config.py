"""Qwen2 and Qwen2.5's configurations: dense sizes, and tiny ones.

Qwen Team, "Qwen2.5 Technical Report", 2024 (arXiv 2412.15115): grouped-query
attention with biases of queries, keys and values, RoPE, pre-norms, SwiGLU.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar

from speccascade.models.decoder import config as decoder


@dataclasses.dataclass(frozen=True)
class Qwen2Config(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  Attributes:
    tied_embeddings: whether the logits are computed with the embeddings.
  """

  rope_base: float = 1_000_000.0
  context_length: int = 32_768
  tied_embeddings: bool = False

  qkv_bias: ClassVar[bool] = True

  @property
  def tied(self):
    """Whether the logits are computed with the table of embeddings."""
    return self.tied_embeddings


def qwen2_5_0_5b(**overrides):
  """Qwen2.5 0.5B: 494,032,768 parameters."""
  return _tied(24, 896, 14, 2, 64, 4864, overrides)


def qwen2_5_1_5b(**overrides):
  """Qwen2.5 1.5B: 1,543,714,304 parameters."""
  return _tied(28, 1536, 12, 2, 128, 8960, overrides)


def qwen2_5_3b(**overrides):
  """Qwen2.5 3B: 3,085,938,688 parameters."""
  return _tied(36, 2048, 16, 2, 128, 11_008, overrides)


def qwen2_5_7b(**overrides):
  """Qwen2.5 7B: 7,615,616,512 parameters."""
  return _preset(28, 3584, 28, 4, 128, 18_944, overrides)


def qwen2_5_14b(**overrides):
  """Qwen2.5 14B: 14,770,033,664 parameters."""
  return _preset(48, 5120, 40, 8, 128, 13_824, overrides)


def qwen2_5_32b(**overrides):
  """Qwen2.5 32B: 32,763,876,352 parameters."""
  return _preset(64, 5120, 40, 8, 128, 27_648, overrides)


def qwen2_5_72b(**overrides):
  """Qwen2.5 72B: 72,706,203,648 parameters."""
  return _preset(80, 8192, 64, 8, 128, 29_568, overrides)


def _tied(layers, width, heads, kv_heads, head, hidden, overrides):
  overrides = {'vocab_size': 151_936, 'tied_embeddings': True, **overrides}
  return _preset(layers, width, heads, kv_heads, head, hidden, overrides)


def _preset(layers, width, heads, kv_heads, head, hidden, overrides):
  settings = dict(
    vocab_size=152_064,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=head,
    hidden_dim=hidden,
    dtype='bfloat16',
  )
  return Qwen2Config(**{**settings, **overrides})


EXAMPLES = (
  Qwen2Config(
    vocab_size=20,
    num_layers=2,
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    hidden_dim=20,
    context_length=48,
  ),
)
