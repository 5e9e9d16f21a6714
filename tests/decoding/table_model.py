"""A model that is a table: known probabilities, counted in nobody's weights."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from speccascade.models import cache as cache_lib


@dataclasses.dataclass(frozen=True)
class TableModel:
  """Next-token logits by the last two tokens; its parameters are the table.

  The token before the one that is fed comes from the cache, so a cache that
  lags or leads by one changes the law.
  """

  vocab_size: int
  context_length: int = 64

  def longest_prompt(self, max_new_tokens):
    return self.context_length - max_new_tokens

  def prefill(self, table_VxVxV, token_BxS, length_B, *, new_tokens, block):
    del table_VxVxV
    held_B = length_B - 1
    seen_BxS = jnp.pad(token_BxS, ((0, 0), (0, new_tokens + block)))
    cache = cache_lib.Cache(held_B, (seen_BxS[None],), (), (False,))
    rows = jnp.arange(len(length_B))
    return cache, token_BxS[rows, held_B]

  def extend(self, table_VxVxV, cache, token_BxT, at_B=None):
    T = token_BxT.shape[1]
    rows_Bx1 = jnp.arange(token_BxT.shape[0])[:, None]
    position_BxT = cache.length_B[:, None] + jnp.arange(T)
    seen_BxS = (
      cache.keys[0][0].at[rows_Bx1, position_BxT].set(token_BxT, mode='drop')
    )
    # The token before the first of all is 0.
    before_BxT = jnp.where(
      position_BxT > 0,
      seen_BxS[rows_Bx1, jnp.maximum(position_BxT - 1, 0)],
      0,
    )
    cache = cache.replace(length_B=cache.length_B + T, keys=(seen_BxS[None],))
    logits_BxTxV = table_VxVxV[before_BxT, token_BxT]
    if at_B is not None:
      logits_BxTxV = jnp.take_along_axis(logits_BxTxV, at_B[:, None, None], 1)
    return logits_BxTxV, cache


def table(vocab_size, seed, spread=1.5):
  """Random logits."""
  rng = np.random.default_rng(seed)
  return spread * rng.normal(size=(vocab_size,) * 3)
