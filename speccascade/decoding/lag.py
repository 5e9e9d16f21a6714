"""A drafter that lags: it reads later what the verifier wrote without a draft.

Of a row that may not draft it has not read the prompt, and never will.

Letters: B rows, G most tokens of a block, M positions of generated tokens.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.models import base
from speccascade.models import cache as cache_lib


def begin(loop, request, state):
  """Asks a schedule which rows draft.

  Args:
    loop: loop.Loop whose schedule has `begin`.
    request: Request.
    state: of the loop.

  Returns:
    (rows that draft, the state, whose schedule has weighed the block).
  """
  active_B = ~state.done_B
  held_B = state.drafter_cache.length_B
  lag_B = jnp.where(
    active_B & state.able_B, state.verifier_cache.length_B - held_B, 0
  )
  schedule, pays = loop.schedule.begin(
    request.schedule_parameter,
    state.schedule,
    active_B,
    state.able_B,
    -(-lag_B.max() // (loop.gamma + 1)),
  )
  invariant_B = np.concatenate(
    [np.full(group.rows, group.method.invariant) for group in loop.groups]
  )
  greedy_B = request.sampling.temperature_B == 0
  free_B = invariant_B | greedy_B | state.done_B
  may_skip = lossless(loop) & jnp.all(free_B)
  drafting_B = active_B & state.able_B & (pays | ~may_skip)
  return drafting_B, state.replace(schedule=schedule)


def lossless(loop) -> bool:
  """Whether a greedy token is the same without a draft, of all methods.

  Else it depends on what the drafter would have written.
  """
  return all(group.method.lossless for group in loop.groups)


def caught_up(loop, params, state, cache, drafting_B):
  """The drafter's cache of all tokens before y[-1], of the rows that draft."""
  return catch_up(
    loop.drafter,
    params,
    cache,
    jnp.where(drafting_B, state.verifier_cache.length_B, cache.length_B),
    state.first_B,
    state.token_BxM,
    state.length_B,
    loop.gamma + 1,
  )


def keep(drafting_B, before, after):
  """The state after a block.

  A drafter that drafted holds what the verifier does, another what it did.
  """
  cache, held_B = after.drafter_cache, before.drafter_cache.length_B
  length_B = jnp.where(drafting_B, after.verifier_cache.length_B, held_B)
  return after.replace(drafter_cache=cache_lib.rewind(cache, length_B))


@jax.named_scope('draft')
def catch_up(
  model: base.Model,
  params: Any,
  cache: cache_lib.Cache,
  to_B: jax.Array,
  first_B: jax.Array,
  token_BxM: jax.Array,
  generated_B: jax.Array,
  G: int,
) -> cache_lib.Cache:
  """Reads, in blocks of G tokens, what a drafter's cache lacks.

  Args:
    model: the drafter.
    params: its parameters.
    cache: of at most `to_B` tokens a row.
    to_B: tokens that it is to hold, all before y[-1]; a row that holds no fewer
      stays as it is.
    first_B: the last token of each prompt.
    token_BxM: those that follow it.
    generated_B: how many of them there are, the last of which is y[-1].
    G: tokens of a block.

  Returns:
    The cache.
  """
  written_BxM = jnp.concatenate([first_B[:, None], token_BxM], 1)
  place_B = generated_B - to_B  # Of what lies at 0 in the cache.

  def lags(cache):
    return jnp.any(cache.length_B < to_B)

  def read(cache):
    at_B = jnp.maximum(cache.length_B + place_B, 0)
    take = jax.vmap(lambda x_M, at: lax.dynamic_slice_in_dim(x_M, at, G))
    _, longer = model.extend(params, cache, take(written_BxM, at_B))
    length_B = jnp.minimum(cache.length_B + G, to_B)
    return cache_lib.rewind(longer, jnp.maximum(length_B, cache.length_B))

  return lax.while_loop(lags, read, cache)
