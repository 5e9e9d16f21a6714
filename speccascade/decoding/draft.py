"""Drafting: drafter steps until no row wants another.

Letters: B rows, G most tokens of a draft, V vocabulary.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.sampling import draws, probabilities


@flax.struct.dataclass
class Draft:
  """Drafted tokens and what they were drawn from.

  Entries past `length_B` are unspecified.

  Attributes:
    token_BxG: x_0..x_{G-1}.
    q_BxGxV: what each was drawn from.
    q_raw_BxGxV: the same before temperature, top-k and top-p.
    length_B: tokens of each row's draft, 0 for a row that is done or may not
      draft.
    confidence_BxG: max q hat of each; 1 where none was drawn or no schedule
      asks.
    finite_BxG: whether the drafter's logits of each were.
  """

  token_BxG: jax.Array
  q_BxGxV: jax.Array
  q_raw_BxGxV: jax.Array
  length_B: jax.Array
  confidence_BxG: jax.Array
  finite_BxG: jax.Array


def first(draft: Draft, width: int, block_BxW: jax.Array) -> Draft:
  """Returns the first tokens of a draft, W of them.

  Args:
    draft: Draft.
    width: W.
    block_BxW: what is verified with them. What hangs on a draft alone waits for
      it: XLA would compute it for each width before one is chosen.
  """
  draft, _ = lax.optimization_barrier((draft, block_BxW))
  cut = lambda x: x[:, :width] if x.ndim > 1 else x  # noqa: E731
  return jax.tree.map(cut, draft)


def nothing(like: Draft) -> Draft:
  """Returns a draft of no token, one position wide; of shapes alone, `like`."""

  def one(x, fill=0):
    return jnp.full((x.shape[0], 1, *x.shape[2:]), fill, x.dtype)

  return Draft(
    token_BxG=one(like.token_BxG),
    q_BxGxV=one(like.q_BxGxV),
    q_raw_BxGxV=one(like.q_raw_BxGxV),
    length_B=jnp.zeros(like.length_B.shape, like.length_B.dtype),
    confidence_BxG=one(like.confidence_BxG, 1),
    finite_BxG=one(like.finite_BxG, True),
  )


@flax.struct.dataclass
class _Loop:
  step: jax.Array
  cache: object
  last_B: jax.Array
  wants_B: jax.Array
  length_B: jax.Array
  confidence_BxG: jax.Array
  finite_GxB: jax.Array
  token_GxB: jax.Array
  q_GxBxV: jax.Array
  q_raw_GxBxV: Any  # None where they are q_GxBxV


@jax.named_scope('draft')
def draft(model, params, cache, last_B, active_B, sampling, u_BxGx2, more):
  """Feeds y[-1], then each drafted token.

  Args:
    model: the drafter.
    params: its parameters.
    cache: of the tokens before y[-1].
    last_B: y[-1].
    active_B: rows that are to be continued.
    sampling: Sampling.
    u_BxGx2: uniforms of the draws.
    more: (tokens drafted, the last of them, confidence_BxG: max q hat of each,
      1 past them) -> whether each row wants another; None for G tokens always.

  Returns:
    (Draft, cache of y[-1] and all drafted tokens but the last).
  """
  B, G, _ = u_BxGx2.shape
  dtype = jax.eval_shape(model.extend, params, cache, last_B[:, None])[0].dtype
  # A fixed draft writes all of it; of others what is left must be finite.
  make = lax.empty if more is None else jnp.zeros
  nothing_GxBxV = sharding.constrain(
    make((G, B, model.vocab_size), dtype), sharding.DRAFTS
  )

  def wanted(loop):
    return (loop.step < G) & ((more is None) | jnp.any(loop.wants_B))

  def step(loop):
    logits_Bx1xV, cache = model.extend(params, loop.cache, loop.last_B[:, None])
    raw_Bx1xV = probabilities.raw(logits_Bx1xV)
    q_Bx1xV = probabilities.sampled(logits_Bx1xV, raw_Bx1xV, sampling)
    token_B = draws.draw(q_Bx1xV[:, 0], u_BxGx2[:, loop.step])
    put = lambda x, row: lax.dynamic_update_index_in_dim(x, row, loop.step, 0)  # noqa: E731
    wants_B, confidence_BxG = loop.wants_B, loop.confidence_BxG
    if more is not None:
      confidence_BxG = lax.dynamic_update_slice_in_dim(
        confidence_BxG, raw_Bx1xV.max(-1), loop.step, 1
      )
      wants_B &= more(loop.step + 1, token_B, confidence_BxG)
    return _Loop(
      step=loop.step + 1,
      cache=cache,
      last_B=token_B,
      wants_B=wants_B,
      length_B=loop.length_B + loop.wants_B,
      confidence_BxG=confidence_BxG,
      finite_GxB=put(loop.finite_GxB, probabilities.finite(logits_Bx1xV)[:, 0]),
      token_GxB=put(loop.token_GxB, token_B),
      q_GxBxV=put(loop.q_GxBxV, q_Bx1xV[:, 0]),
      q_raw_GxBxV=None
      if sampling.plain
      else put(loop.q_raw_GxBxV, raw_Bx1xV[:, 0]),
    )

  loop = lax.while_loop(
    wanted,
    step,
    _Loop(
      step=jnp.int32(0),
      cache=cache,
      last_B=last_B,
      wants_B=active_B,
      length_B=jnp.zeros(B, jnp.int32),
      confidence_BxG=jnp.ones((B, G), dtype),
      finite_GxB=jnp.ones((G, B), bool),
      token_GxB=jnp.zeros((G, B), jnp.int32),
      q_GxBxV=nothing_GxBxV,
      q_raw_GxBxV=None if sampling.plain else nothing_GxBxV,
    ),
  )
  token_BxG, q_BxGxV = loop.token_GxB.T, loop.q_GxBxV.swapaxes(0, 1)
  drafted = Draft(
    token_BxG=token_BxG,
    q_BxGxV=q_BxGxV,
    q_raw_BxGxV=q_BxGxV if sampling.plain else loop.q_raw_GxBxV.swapaxes(0, 1),
    length_B=loop.length_B,
    confidence_BxG=loop.confidence_BxG,
    finite_BxG=loop.finite_GxB.T,
  )
  return drafted, loop.cache
