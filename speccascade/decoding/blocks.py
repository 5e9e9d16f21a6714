"""A block: drafting it, and verifying it no wider than what was drafted.

A compiled block has a static width. The few widths here let the device
choose the smallest one that holds the longest draft of the batch.

Letters: B rows, G most tokens of a block, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import defer, eos, lag
from speccascade.decoding import draft as draft_lib
from speccascade.sampling import keys, probabilities

# Tokens that an accelerator verifies in the time that reading weights takes: of
# Gemma 2 27B on an H200, 6 take 1.5 % longer than one, and 48 14 % than 8.
_FREE = 16


def widths(G, schedule, rows=None):
  """Widths that a program is compiled for, the widest G; G alone if fixed.

  Each takes as long to compile as the first. The quarters leave little to
  spare at good acceptance, the eighth serves a poor drafter, and one token a
  block without a draft. An accelerator has none that is no faster than the
  next.

  Args:
    G: most tokens of a draft.
    schedule: schedules.Schedule.
    rows: of the batch; None for the widths of any number of rows.
  """
  if schedule.more is None:
    return (G,)
  found = {-(-G * n // 8) for n in (1, 2, 4, 6, 8)}
  found = sorted(found if schedule.begin is None else found | {1})
  if rows is None or sharding.platform() == 'cpu':
    return tuple(found)
  free = sum(width * rows <= _FREE for width in found)
  return tuple(found[max(free - 1, 0) :])


def decide(
  loop,
  params,
  request,
  u_BxMxU,
  state,
  drafting_B=None,
  defers=defer.of_groups,
):
  """Drafts, verifies and defers; all rows draft that are not done, or some.

  Args:
    loop: loop.Loop.
    params: (drafter parameters, verifier parameters).
    request: Request.
    u_BxMxU: uniforms of all positions.
    state: of the loop.
    drafting_B: rows that draft, if the schedule has them, see `lag.begin`; None
      for those that are not done.
    defers: what makes the outcome, see `defer.of_groups`.

  Returns:
    (Draft, without what it was drawn from if the schedule may leave drafts out;
    (token_BxG, kept_B, divergence_BxG); both caches, to be rewound;
    {role: finite_BxG}; what is observed).
  """
  G = loop.gamma + 1
  u_BxGxU = keys.upcoming(u_BxMxU, state.length_B, G)
  more = _more(loop, request.schedule_parameter, state)
  caches = state.drafter_cache, state.verifier_cache
  verified = functools.partial(_verified, loop, params[1], request, defers)

  def drafted(caches, last_B, active_B, u_BxGxU):
    cache = caches[0]
    if loop.schedule.begin is not None:
      cache = lag.caught_up(loop, params[0], state, cache, active_B)
    draft, drafter_cache = draft_lib.draft(
      loop.drafter,
      params[0],
      cache,
      last_B,
      active_B,
      request.sampling,
      u_BxGxU[..., keys.DRAFT],
      more,
    )
    block_BxG = jnp.concatenate([last_B[:, None], draft.token_BxG[:, :-1]], 1)
    told, verifier_cache = narrowest(
      functools.partial(verified, draft, u_BxGxU),
      widths(G, loop.schedule, len(last_B)),
      draft.length_B,
      caches[1],
      block_BxG,
    )
    return draft, told, (drafter_cache, verifier_cache)

  active_B = ~state.done_B if drafting_B is None else drafting_B
  inputs = state.last_B, active_B, u_BxGxU
  if loop.schedule.begin is None:
    draft, told, caches = drafted(caches, *inputs)
  else:
    alone = functools.partial(_greedy, loop, params[1])
    draws = any(group.method.invariant for group in loop.groups)
    draws &= request.sampling.asked != probabilities.BEST
    if draws or loop.observe is not None:
      alone = verified
    draft, told, caches = _drafted_or_not(drafted, alone, caches, inputs)
  outcome, finite_BxG, observed = told
  finite = {'drafter': draft.finite_BxG, 'verifier': finite_BxG}
  if loop.schedule.begin is not None:  # Some rows may not draft.
    finite['drafter'] |= jnp.arange(G) >= draft.length_B[:, None]
  return draft, outcome, caches, finite, observed


def _drafted_or_not(drafted, alone, caches, inputs):
  """What `drafted` returns, without q; or what `alone` makes of no draft.

  A block without a draft makes no room for one: up to two arrays GxBxV.
  """
  draft, told, _ = jax.eval_shape(drafted, caches, *inputs)
  B, G = draft.token_BxG.shape
  nothing = draft_lib.nothing(draft)
  room = lambda x: jnp.zeros(x.shape, x.dtype)  # noqa: E731
  carry = _small(nothing, G), jax.tree.map(room, told), caches

  def with_draft(carry, *inputs):
    draft, told, caches = drafted(carry[-1], *inputs)
    return _small(draft, G), told, caches

  def without(carry, last_B, drafting_B, u_BxGxU):
    del drafting_B
    drafter_cache, cache = carry[-1]
    told, cache = alone(nothing, u_BxGxU, 1, cache, last_B[:, None])
    told = jax.tree.map(lambda x: _padded(x, G), told)
    return carry[0], told, (drafter_cache, cache)

  _, drafting_B, _ = inputs
  any_drafts = drafting_B.any()
  carry = when(any_drafts, with_draft, carry, *inputs)
  return when(~any_drafts, without, carry, *inputs)


def _small(draft, G):
  """A draft of width G without what its tokens were drawn from."""
  draft = draft.replace(q_BxGxV=None, q_raw_BxGxV=None)
  return jax.tree.map(lambda x: _padded(x, G), draft)


def _padded(x, G):
  """An array BxW, zeros past the W; what is not of positions as it is."""
  return jnp.pad(x, ((0, 0), (0, G - x.shape[1]))) if x.ndim > 1 else x


def _verified(
  loop, params, request, defers, draft, u_BxGxU, width, cache, block_BxW
):
  """((outcome, finite_BxW, observed), cache) of the first W of a draft."""
  own, u_BxWxU = draft, u_BxGxU
  if loop.schedule.more is not None:
    own, u_BxWxU = (
      draft_lib.first(draft, width, block_BxW),
      u_BxGxU[:, :width],
    )
  verified, finite_BxW, cache = verify(
    loop.verifier, params, cache, block_BxW, request.sampling
  )
  outcome = defers(
    loop.groups, own, verified, request.values, u_BxWxU, loop.divergences
  )
  # Where there is no q, no D_TV.
  if loop.divergences and loop.schedule.begin is not None:
    *decided, divergence_BxW = outcome
    drafted_BxW = jnp.arange(width) < draft.length_B[:, None]
    outcome = *decided, jnp.where(drafted_BxW, divergence_BxW, 0)
  observed = {}
  if loop.observe is not None:
    observed = loop.observe(own, verified, outcome[-1])
  return (outcome, finite_BxW, observed), cache


@jax.named_scope('verify')
def _greedy(loop, params, draft, u_BxGxU, width, cache, block_Bx1):
  """`_verified` of one token a row, where no row has a draft.

  Not where a row may be drawn by a method that is invariant. Elsewhere
  `lag.begin` leaves all drafts out only where every row that has not ended is
  greedy and gets the verifier's token, whatever the method: the largest logit
  is it, and no distribution is made.
  """
  del u_BxGxU, width
  logits_Bx1xV, cache = loop.verifier.extend(params, cache, block_Bx1)
  divergence_Bx1 = jnp.zeros_like(draft.confidence_BxG)
  token_Bx1 = logits_Bx1xV.argmax(-1).astype(draft.token_BxG.dtype)
  outcome = (
    token_Bx1,
    jnp.zeros_like(draft.length_B),
    divergence_Bx1 if loop.divergences else None,
  )
  return (outcome, probabilities.finite(logits_Bx1xV), {}), cache


def _more(loop, parameter, state):
  """Whether a row drafts on: as its schedule says, and not past EOS."""
  more = loop.schedule.more
  if more is None:
    return None

  def wants(drafted, token_B, confidence_B):
    wants_B = more(parameter, state.schedule, drafted, confidence_B)
    return wants_B & ~eos.ends(token_B, loop.eos_ids)

  return wants


@jax.named_scope('verify')
def verify(model, params, cache, block_BxG, sampling):
  """What the verifier says of a block.

  Args:
    model: the verifier.
    params: its parameters.
    cache: of the tokens before the block.
    block_BxG: y[-1], and all drafted tokens but the last.
    sampling: Sampling.

  Returns:
    (Verified, whether its logits were finite BxG, cache of the block).
  """
  logits_BxGxV, cache = model.extend(params, cache, block_BxG)
  p_raw_BxGxV = probabilities.raw(logits_BxGxV)
  p_BxGxV = probabilities.sampled(logits_BxGxV, p_raw_BxGxV, sampling)
  verified = defer.Verified(p_BxGxV, p_raw_BxGxV)
  return verified, probabilities.finite(logits_BxGxV), cache


def narrowest(function, widths, length_B, cache, block_BxG):
  """`function` of the first tokens of a block, as many as count in some row.

  Args:
    function: (width W, cache, block_BxW) -> (tree of arrays B and BxW, cache).
    widths: from `widths`.
    length_B: how many tokens of the block count in each row.
    cache: of the tokens before the block.
    block_BxG: tokens.

  Returns:
    (the tree, BxG with zeros past the width chosen; cache).
  """

  def run(width, carry, block_BxG):
    told, cache = function(width, carry[1], block_BxG[:, :width])
    G = block_BxG.shape[1]
    return jax.tree.map(lambda x: _padded(x, G), told), cache

  if len(widths) == 1:
    return run(*widths, (None, cache), block_BxG)
  told, _ = jax.eval_shape(
    functools.partial(function, widths[-1]), cache, block_BxG
  )
  carry = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), told), cache
  chosen = (length_B.max() > jnp.array(widths[:-1])).sum()
  for i, width in enumerate(widths):
    carry = when(chosen == i, functools.partial(run, width), carry, block_BxG)
  return carry


def when(condition, function, carry, *inputs):
  """`function(carry, *inputs)` if the condition holds, else `carry`, in place.

  A loop of at most one turn: `lax.cond` would copy the caches in a carry. The
  inputs are in it too, and spent: what hangs on a loop's constants alone, as a
  first layer's projections of a block do, XLA computes before the loop,
  whether it has a turn or not.
  """

  def turn(_, loop):
    carry, inputs = loop
    return function(carry, *inputs), jax.tree.map(jnp.zeros_like, inputs)

  turns = jnp.asarray(condition).astype(jnp.int32)
  return lax.fori_loop(0, turns, turn, (carry, inputs))[0]
