"""A decoder without an encoder, as pure functions of its parameters.

Gemma, Qwen and Llama are such; they differ in their configurations.
Shape letters are those of `speccascade.models`.
"""

import dataclasses

import jax.numpy as jnp
from jax import lax

from speccascade.models import base, common, fusing, int8, stacking
from speccascade.models import cache as cache_lib
from speccascade.models.decoder import config as config_lib
from speccascade.models.decoder import layers


@dataclasses.dataclass(frozen=True)
class Decoder(base.Reader):
  """A `base.Model`; `config` says of which family."""

  config: config_lib.Config

  @property
  def vocab_size(self):
    """V."""
    return self.config.vocab_size

  def longest_prompt(self, max_new_tokens):
    """Returns the most prompt tokens that leave room for the answer."""
    return self.config.context_length - max_new_tokens

  def init(self, key):
    """Returns random float32 parameters: a nested dict."""
    return layers.init(self.config, key)

  def stack(self, params):
    """Returns the parameters with the layers of whole periods stacked."""
    return stacking.stack(params, len(self.config.kinds))

  def fuse(self, params):
    """Returns the parameters laid out for a GPU: side by side, and by rows."""
    groups = fusing.ATTENTION + fusing.FEED_FORWARD
    return fusing.by_rows(fusing.fuse(params, groups))

  def forward(self, params, token_BxT):
    """Runs an uncached, causal pass: logits_BxTxV, float32 or wider."""
    return self.logits(params, self.hidden(params, token_BxT))

  def hidden(self, params, token_BxT):
    """Runs such a pass up to what `logits` takes: x_BxTxD."""
    return layers.apply(self.config, params, token_BxT)[0]

  def logits(self, params, x_BxTxD):
    """Returns logits_BxTxV of what `hidden` returned."""
    name = 'embedding' if self.config.tied else 'lm_head'
    scale_V = params.get(int8.scale_of(name))
    logits_BxTxV = common.unembed(x_BxTxD, params[name], scale_V)
    if self.config.final_cap is None:
      return logits_BxTxV
    return common.softcap(logits_BxTxV, self.config.final_cap)

  def chunks(self, params, rows, width):
    """Returns (number, tokens of each) of the chunks that prompts are read in.

    Args:
      params: from `init`, or stacked.
      rows: read at a time.
      width: S, that prompts are padded to.
    """
    windows = filter(None, layers.windows(self.config, params))
    return cache_lib.chunks(rows, width, min(windows, default=None))

  def blank(
    self, params, rows, width, *, new_tokens, block, chunk, shared=False
  ):
    """Returns a cache of no tokens, with room for prompts of S and answers."""
    read = -(-width // chunk) * chunk  # The last chunk may hang over.
    capacity = max(width + new_tokens, read - block)
    sizes = rows, capacity, block, chunk
    return layers.empty(self.config, params, *sizes, shared)

  def read(self, params, cache, token_BxS, length_B, i, chunk):
    """Reads chunk i of prompts into a cache, whose lengths do not matter."""
    spare = -token_BxS.shape[1] % chunk
    token_BxS = jnp.pad(token_BxS, ((0, 0), (0, spare)))
    block_BxT = lax.dynamic_slice_in_dim(token_BxS, i * chunk, chunk, 1)
    before = cache.replace(length_B=jnp.asarray(i * chunk)[None])
    _, (keys, values) = layers.apply(
      self.config, params, block_BxT, before, length_B - 1
    )
    return cache.replace(keys=keys, values=values)

  def extend(self, params, cache, token_BxT, at_B=None):
    """Appends a block; returns (logits_BxTxV after its tokens, cache).

    Of one token of each row, logits_Bx1xV, if `at_B` says which.
    """
    x_BxTxD, (keys, values) = layers.apply(
      self.config, params, token_BxT, cache
    )
    cache = cache.replace(
      length_B=cache.length_B + token_BxT.shape[1], keys=keys, values=values
    )
    logits_BxTxV = self.logits(params, common.chosen(x_BxTxD, at_B))
    return common.made_once(logits_BxTxV), cache
