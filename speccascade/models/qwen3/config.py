"""Qwen3's configurations: dense sizes, and tiny ones.

Qwen Team, "Qwen3 Technical Report", 2025 (arXiv 2505.09388): as Qwen2.5 with
normalised queries and keys in place of biases.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar

from speccascade.models.decoder import config as decoder


@dataclasses.dataclass(frozen=True)
class Qwen3Config(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  Attributes:
    tied_embeddings: whether the logits are computed with the embeddings.
  """

  rope_base: float = 1_000_000.0
  context_length: int = 40_960
  tied_embeddings: bool = False

  qk_norm: ClassVar[bool] = True

  @property
  def tied(self):
    """Whether the logits are computed with the table of embeddings."""
    return self.tied_embeddings


def qwen3_0_6b(**overrides):
  """Qwen3 0.6B: 596,049,920 parameters."""
  return _preset(28, 1024, 16, 3072, {'tied_embeddings': True, **overrides})


def qwen3_1_7b(**overrides):
  """Qwen3 1.7B: 1,720,574,976 parameters."""
  return _preset(28, 2048, 16, 6144, {'tied_embeddings': True, **overrides})


def qwen3_4b(**overrides):
  """Qwen3 4B: 4,022,468,096 parameters."""
  return _preset(36, 2560, 32, 9728, {'tied_embeddings': True, **overrides})


def qwen3_8b(**overrides):
  """Qwen3 8B: 8,190,735,360 parameters."""
  return _preset(36, 4096, 32, 12_288, overrides)


def qwen3_14b(**overrides):
  """Qwen3 14B: 14,768,307,200 parameters."""
  return _preset(40, 5120, 40, 17_408, overrides)


def qwen3_32b(**overrides):
  """Qwen3 32B: 32,762,123,264 parameters."""
  return _preset(64, 5120, 64, 25_600, overrides)


def _preset(layers, width, heads, hidden, overrides):
  settings = dict(
    vocab_size=151_936,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=8,
    head_dim=128,
    hidden_dim=hidden,
    dtype='bfloat16',
  )
  return Qwen3Config(**{**settings, **overrides})


EXAMPLES = (
  Qwen3Config(
    vocab_size=20,
    num_layers=2,
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    hidden_dim=20,
    context_length=48,
  ),
)
