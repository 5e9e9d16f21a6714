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
    held_B, (B, S) = length_B - 1, token_BxS.shape
    windows = filter(None, layers.windows(self.config, params))
    number, chunk = cache_lib.chunks(B, S, min(windows, default=None))
    token_BxS = jnp.pad(token_BxS, ((0, 0), (0, number * chunk - S)))

    def read(i, cache):
      block_BxT = lax.dynamic_slice_in_dim(token_BxS, i * chunk, chunk, 1)
      before = cache.replace(length_B=jnp.asarray(i * chunk)[None])
      _, (keys, values) = layers.apply(
        self.config, params, block_BxT, before, held_B
      )
      return cache.replace(keys=keys, values=values)

    capacity = max(S + new_tokens, number * chunk - block)
    cache = layers.empty(self.config, params, B, capacity, block, chunk)
    if number == 1:
      cache = read(jnp.int32(0), cache)
    else:
      live = (held_B.max() + chunk - 1) // chunk
      cache = lax.fori_loop(0, live, read, cache)
    last_B = jnp.take_along_axis(token_BxS, held_B[:, None], axis=1)[:, 0]
    return cache_lib.rewind(cache, held_B), last_B

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
