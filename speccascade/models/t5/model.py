"""T5, as pure functions of its parameters.

RMSNorm before every sub-layer, attention unscaled and without biases, one table
of bucketed relative positions a stack; `config` has the sources.

Shape letters are those of `speccascade.models`; K is N.
"""

import dataclasses

import jax.numpy as jnp

from speccascade.models import base, common, fusing, int8, stacking
from speccascade.models import cache as cache_lib
from speccascade.models.t5 import config as config_lib
from speccascade.models.t5 import layers


@dataclasses.dataclass(frozen=True)
class T5(base.Reader):
  """T5 as pure functions of its parameters."""

  config: config_lib.T5Config

  @property
  def vocab_size(self):
    """V."""
    return self.config.vocab_size

  def longest_prompt(self, max_new_tokens):
    """Returns the most input tokens, for answers of any length."""
    del max_new_tokens  # The decoder takes answers of any length.
    return self.config.input_length

  def init(self, key):
    """Returns random float32 parameters: a nested dict."""
    return layers.init(self.config, key)

  def stack(self, params):
    """Returns the parameters with the layers of each half stacked."""
    return stacking.stack(params, 1)

  def fuse(self, params):
    """Returns the parameters laid out for a GPU: side by side, and by rows."""
    return fusing.by_rows(fusing.fuse(params, fusing.FEED_FORWARD))

  def forward(self, params, input_BxS, length_B, token_BxT):
    """Runs an uncached pass, causal in the decoder.

    Args:
      params: from `init`.
      input_BxS: int32 inputs, padded on the right.
      length_B: lengths of the inputs, at least 1.
      token_BxT: int32 tokens of the decoder, the start token first.

    Returns:
      logits_BxTxV after each of `token_BxT`, float32 or wider.
    """
    return self.logits(
      params, self.hidden(params, input_BxS, length_B, token_BxT)
    )

  def hidden(self, params, input_BxS, length_B, token_BxT):
    """Runs such a pass up to what `logits` takes: x_BxTxD."""
    memory = layers.read(self.config, params, input_BxS, length_B)
    return layers.write(self.config, params, token_BxT, memory)[0]

  def logits(self, params, x_BxTxD):
    """Returns logits_BxTxV of what `hidden` returned."""
    cfg = self.config
    if cfg.scales_output:
      x_BxTxD *= cfg.embed_dim**-0.5
    name = 'embedding' if cfg.tied_embeddings else 'lm_head'
    scale_V = params.get(int8.scale_of(name))
    return common.unembed(x_BxTxD, params[name], scale_V)

  def blank(
    self, params, rows, width, *, new_tokens, block, chunk, shared=False
  ):
    """Returns a cache of no tokens, with room for inputs of S and answers."""
    del chunk
    memory = layers.blank(self.config, params, rows, width, shared)
    slots, ring = cache_lib.num_slots(None, 1 + new_tokens, block, 1)

    def empty(stacks):
      return tuple(
        cache_lib.empty(*x.shape[:3], slots, x.shape[4], x.dtype, shared=shared)
        for x in stacks
      )

    return cache_lib.Cache(
      length_B=jnp.zeros(rows, jnp.int32),
      keys=empty(memory.keys),
      values=empty(memory.values),
      rings=(ring,) * len(memory.keys),
      memory=memory,
    )

  def begin(self, token_BxS, length_B):
    """Returns (0 tokens that a cache holds, the start token) of each row."""
    del token_BxS
    start_B = jnp.full_like(length_B, self.config.start_token)
    return jnp.zeros_like(length_B), start_B

  def read(self, params, cache, token_BxS, length_B, i, chunk):
    """Encodes all inputs into the memory of a cache."""
    del i, chunk
    memory = layers.read(self.config, params, token_BxS, length_B)
    return cache.replace(memory=memory)

  def extend(self, params, cache, token_BxT, at_B=None):
    """Appends a block; returns (logits_BxTxV after its tokens, cache).

    Of one token of each row, logits_Bx1xV, if `at_B` says which.
    """
    x_BxTxD, (keys, values) = layers.write(
      self.config, params, token_BxT, cache.memory, cache
    )
    cache = cache.replace(
      length_B=cache.length_B + token_BxT.shape[1], keys=keys, values=values
    )
    logits_BxTxV = self.logits(params, common.chosen(x_BxTxD, at_B))
    return common.made_once(logits_BxTxV), cache
