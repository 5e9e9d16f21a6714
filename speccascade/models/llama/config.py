"""Configurations of small models shaped as Llama, and tiny ones.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023
(arXiv 2302.13971): RoPE, pre-norms, SwiGLU, no biases; with grouped-query
attention and tied embeddings as SmolLM2 has them (Allal et al., 2025, arXiv
2502.02737).

Shape letters are those of `speccascade.models`.
"""

import dataclasses

from speccascade.models.decoder import config as decoder


@dataclasses.dataclass(frozen=True)
class LlamaConfig(decoder.Config):
  """Architecture and compute settings, beside those of all decoders.

  Attributes:
    tied_embeddings: whether the logits are computed with the embeddings.
  """

  tied_embeddings: bool = False

  @property
  def tied(self):
    """Whether the logits are computed with the table of embeddings."""
    return self.tied_embeddings


def smollm2_135m(**overrides):
  """SmolLM2 135M: 134,515,008 parameters."""
  return _preset(30, 576, 9, 3, 1536, 100_000.0, overrides)


def smollm2_360m(**overrides):
  """SmolLM2 360M: 361,821,120 parameters."""
  return _preset(32, 960, 15, 5, 2560, 100_000.0, overrides)


def smollm2_1_7b(**overrides):
  """SmolLM2 1.7B: 1,711,376,384 parameters."""
  return _preset(24, 2048, 32, 32, 8192, 130_000.0, overrides)


def _preset(layers, width, heads, kv_heads, hidden, rope_base, overrides):
  settings = dict(
    vocab_size=49_152,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=64,
    hidden_dim=hidden,
    rope_base=rope_base,
    norm_epsilon=1e-5,
    tied_embeddings=True,
    dtype='bfloat16',
  )
  return LlamaConfig(**{**settings, **overrides})


EXAMPLES = (
  LlamaConfig(
    vocab_size=20,
    num_layers=2,
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    hidden_dim=20,
    norm_epsilon=1e-5,
    context_length=48,
    tied_embeddings=True,
  ),
)
