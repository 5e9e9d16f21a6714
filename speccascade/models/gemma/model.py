"""Gemma 2, from thousands of parameters to 27 billion.

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size",
2024 (arXiv 2408.00118): grouped-query attention, RoPE, alternating
sliding-window and global layers, soft-capped attention and final logits,
pre- and post-norms with (1 + w) scales, GeGLU, tied and scaled embeddings.

Shape letters are those of `speccascade.models`.
"""

import dataclasses

import jax.numpy as jnp

from speccascade import sharding
from speccascade.models import base, common
from speccascade.models import cache as cache_lib
from speccascade.models.gemma import config as config_lib
from speccascade.models.gemma import layers, partition


@dataclasses.dataclass(frozen=True)
class Gemma:
  """Gemma 2 as pure functions of its parameters."""

  config: config_lib.GemmaConfig

  @property
  def vocab_size(self):
    """V."""
    return self.config.vocab_size

  def longest_prompt(self, max_new_tokens):
    """Returns the most prompt tokens that leave room for the answer."""
    return self.config.context_length - max_new_tokens

  def init(self, key):
    """Returns random float32 parameters: a nested dict."""
    token_1x1 = jnp.zeros((1, 1), jnp.int32)
    return layers.Transformer(self.config).init(key, token_1x1)['params']

  def forward(self, params, token_BxT):
    """Runs an uncached, causal pass: logits_BxTxV, float32 or wider."""
    x_BxTxD, _ = self._apply(params, token_BxT)
    return self._logits(params, x_BxTxD)

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    """Reads right-padded prompts.

    Args:
      params: from `init`.
      token_BxS: int32 prompts, padded on the right.
      length_B: lengths of the prompts, at least 1.
      new_tokens: most tokens that a row will hold after its prompt.
      block: longest block that `extend` will be given.

    Returns:
      (cache of all but the last token of each prompt, that token_B).
    """
    held_B = length_B - 1
    capacity = token_BxS.shape[1] + new_tokens
    _, (keys, values) = self._apply(params, token_BxS)
    windows = self.config.windows
    shapes = [
      cache_lib.num_slots(windows[i % len(windows)], capacity, block)
      for i in range(len(keys))
    ]
    pack = lambda stacks: tuple(  # noqa: E731
      sharding.constrain(cache_lib.pack(x, held_B, slots, ring), sharding.CACHE)
      for x, (slots, ring) in zip(stacks, shapes, strict=True)
    )
    cache = cache_lib.Cache(
      length_B=held_B,
      keys=pack(keys),
      values=pack(values),
      rings=tuple(ring for _, ring in shapes),
    )
    last_B = jnp.take_along_axis(token_BxS, held_B[:, None], axis=1)[:, 0]
    return cache, last_B

  def extend(self, params, cache, token_BxT):
    """Appends a block; returns (logits_BxTxV after its tokens, cache)."""
    x_BxTxD, (keys, values) = self._apply(params, token_BxT, cache)
    cache = cache.replace(
      length_B=cache.length_B + token_BxT.shape[1], keys=keys, values=values
    )
    return self._logits(params, x_BxTxD), cache

  def _apply(self, params, token_BxT, cache=None):
    net = layers.Transformer(self.config)
    return net.apply({'params': params}, token_BxT, cache)

  def _logits(self, params, x_BxTxD):
    # Vocabulary-sharded embeddings give vocabulary-sharded logits.
    embedding_VxD = params['embedding'].astype(x_BxTxD.dtype)
    logits_BxTxV = jnp.einsum(
      'BTD,VD->BTV',
      x_BxTxD,
      embedding_VxD,
      preferred_element_type=common.wide(x_BxTxD.dtype),
    )
    logits_BxTxV = common.softcap(logits_BxTxV, self.config.final_softcap)
    return sharding.constrain(logits_BxTxV, sharding.LOGITS)


FAMILY = base.Family(
  name='gemma2',
  config=config_lib.GemmaConfig,
  model=Gemma,
  partition=partition.PARTITION,
  encodes_input=False,
  lengths={'context_length': 'length'},
  examples=config_lib.EXAMPLES,
)
