"""A decoder without an encoder, as pure functions of its parameters.

Gemma, Qwen and Llama are such; they differ in their configurations.
Shape letters are those of `speccascade.models`.
"""

import dataclasses

import jax.numpy as jnp
from jax import lax

from speccascade.models import cache as cache_lib
from speccascade.models import common, int8, stacking
from speccascade.models.decoder import config as config_lib
from speccascade.models.decoder import layers


@dataclasses.dataclass(frozen=True)
class Decoder:
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

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    """Reads right-padded prompts.

    Args:
      params: from `init`, or stacked.
      token_BxS: int32 prompts, padded on the right.
      length_B: lengths of the prompts, at least 1.
      new_tokens: most tokens that a row will hold after its prompt.
      block: longest block that `extend` will be given.

    Returns:
      (cache of all but the last token of each prompt, that token_B).
    """
    B, S = token_BxS.shape
    number, chunk = self.chunks(params, B, S)
    cache = self.blank(
      params, B, S, new_tokens=new_tokens, block=block, chunk=chunk
    )

    def read(i, cache):
      return self.read(params, cache, token_BxS, length_B, i, chunk)

    held_B, last_B = self.begin(token_BxS, length_B)
    if number == 1:
      cache = read(jnp.int32(0), cache)
    else:
      live = (held_B.max() + chunk - 1) // chunk
      cache = lax.fori_loop(0, live, read, cache)
    return cache_lib.rewind(cache, held_B), last_B

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

  def begin(self, token_BxS, length_B):
    """Returns (tokens that a cache holds, token that follows) of each row."""
    held_B = length_B - 1
    return held_B, jnp.take_along_axis(token_BxS, held_B[:, None], 1)[:, 0]

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
    return self.logits(params, common.chosen(x_BxTxD, at_B)), cache
