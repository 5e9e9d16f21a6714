"""T5 v1.1, from thousands of parameters to 3 billion.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
Text-to-Text Transformer", JMLR 2020 (arXiv 1910.10683), with the GEGLU of
Shazeer 2020 (arXiv 2002.05202) and untied, unscaled output logits: RMSNorm
before every sub-layer, attention unscaled and without biases, one table of
bucketed relative positions a stack.

Letters: B batch, T tokens, S input tokens, D model width, F feed-forward
width, N heads, H head width, V vocabulary.
"""

import dataclasses

import jax.numpy as jnp

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import t5_layers

_START = 0  # The decoder's first input is the pad token.


@dataclasses.dataclass(frozen=True)
class T5Config:
  """Architecture and compute settings.

  Attributes:
    vocab_size: V.
    num_layers: of the encoder.
    embed_dim: D.
    num_heads: N.
    head_dim: H; N * H need not be D.
    hidden_dim: F.
    num_decoder_layers: of the decoder; None is as many as the encoder's.
    input_length: most input tokens the model is meant for.
    scan_layers: one compiled layer scanned over stacked parameters (large
      models: short compiles) or all layers unrolled (small models).
    dtype: compute type, 'bfloat16', 'float32' or 'float64'; softmax and
      logits are computed in float32 or wider.
  """

  vocab_size: int
  num_layers: int
  embed_dim: int
  num_heads: int
  head_dim: int
  hidden_dim: int
  num_decoder_layers: int | None = None
  input_length: int = 512
  scan_layers: bool = False
  dtype: str = 'float32'

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


@dataclasses.dataclass(frozen=True)
class T5:
  """The model as pure functions of its parameters."""

  config: T5Config

  @property
  def vocab_size(self):
    """V."""
    return self.config.vocab_size

  def longest_prompt(self, max_new_tokens):
    """Most input tokens, however many are generated after them."""
    del max_new_tokens  # Answers are in the decoder, whose length is free.
    return self.config.input_length

  def init(self, key):
    """Random parameters, float32: a nested dict."""
    token_1x1, length_1 = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32)
    net = t5_layers.Network(self.config)
    return net.init(key, token_1x1, length_1, token_1x1)['params']

  def forward(self, params, input_BxS, length_B, token_BxT):
    """Uncached teacher-forced pass.

    Args:
      params: from `init`.
      input_BxS: int32 inputs, padded on the right.
      length_B: their lengths, at least 1.
      token_BxT: what the decoder reads, the start token first.

    Returns:
      logits_BxTxV of the token after each of `token_BxT`, float32 or wider.
    """
    return self._apply(params, '__call__', input_BxS, length_B, token_BxT)

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    """Encodes right-padded inputs.

    Args:
      params: from `init`.
      token_BxS: int32 inputs, padded on the right.
      length_B: their lengths, at least 1.
      new_tokens: tokens a row may come to hold after the start token.
      block: longest block that `extend` will be given.

    Returns:
      (cache of no tokens yet, with the inputs as its memory; the decoder's
      start token_B).
    """
    memory = self._apply(params, 'read', token_BxS, length_B)
    slots, ring = cache_lib.num_slots(None, 1 + new_tokens, block)

    def empty(stacks):
      return tuple(
        sharding.constrain(
          jnp.zeros((*x.shape[:3], slots, x.shape[4]), x.dtype), sharding.CACHE
        )
        for x in stacks
      )

    cache = cache_lib.Cache(
      length_B=jnp.zeros_like(length_B),
      keys=empty(memory.keys),
      values=empty(memory.values),
      rings=(ring,) * len(memory.keys),
      memory=memory,
    )
    return cache, jnp.full_like(token_BxS[:, 0], _START)

  def extend(self, params, cache, token_BxT):
    """Appends a block: (logits_BxTxV after each of its tokens, cache)."""
    logits_BxTxV, (keys, values) = self._apply(
      params, 'write', token_BxT, cache.memory, cache
    )
    cache = cache.replace(
      length_B=cache.length_B + token_BxT.shape[1], keys=keys, values=values
    )
    return logits_BxTxV, cache

  def _apply(self, params, method, *args):
    net = t5_layers.Network(self.config)
    return net.apply({'params': params}, *args, method=method)
