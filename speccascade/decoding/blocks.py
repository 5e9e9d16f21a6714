"""Verifying a block no wider than what was drafted.

A compiled block has a static width. The few widths here let the device
choose the smallest one that holds the longest draft of the batch.

Letters: B rows, G most tokens of a block, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import defer
from speccascade.sampling import probabilities


def widths(G, schedule):
  """Widths that a program is compiled for, the widest G; G alone if fixed.

  Each takes as long to compile as the first. The quarters leave little to
  spare at good acceptance, the eighth serves a poor drafter, and one token a
  block without a draft.
  """
  if schedule.more is None:
    return (G,)
  found = {-(-G * n // 8) for n in (1, 2, 4, 6, 8)}
  return tuple(sorted(found if schedule.begin is None else found | {1}))


@jax.named_scope('verify')
def verify(model, params, cache, last_B, draft, sampling, widths):
  """What the verifier says of a draft.

  Args:
    model: the verifier.
    params: its parameters.
    cache: of the tokens before y[-1].
    last_B: y[-1].
    draft: Draft.
    sampling: Sampling.
    widths: from `widths`.

  Returns:
    (Verified, whether its logits were finite BxG, cache of the block).
  """
  block_BxG = jnp.concatenate([last_B[:, None], draft.token_BxG[:, :-1]], 1)
  logits_BxGxV, cache = extend(
    model, params, cache, block_BxG, draft.length_B, widths
  )
  p_raw_BxGxV = probabilities.raw(logits_BxGxV)
  p_BxGxV = probabilities.sampled(logits_BxGxV, p_raw_BxGxV, sampling)
  verified = defer.Verified(p_BxGxV, p_raw_BxGxV)
  return verified, probabilities.finite(logits_BxGxV), cache


def extend(model, params, cache, block_BxG, length_B, widths):
  """`model.extend` over the first tokens of a block.

  Args:
    model: the verifier.
    params: its parameters.
    cache: of the tokens before the block.
    block_BxG: tokens.
    length_B: how many of them count in each row.
    widths: from `widths`.

  Returns:
    (logits_BxGxV, zeros past the width chosen; cache, to be rewound).
  """

  def run(width, carry, block_BxG):
    _, cache = carry
    logits, cache = model.extend(params, cache, block_BxG[:, :width])
    spare = block_BxG.shape[1] - width
    return jnp.pad(logits, ((0, 0), (0, spare), (0, 0))), cache

  if len(widths) == 1:
    return run(*widths, (None, cache), block_BxG)
  shape = jax.eval_shape(model.extend, params, cache, block_BxG)[0]
  logits_BxGxV = sharding.constrain(
    jnp.zeros(shape.shape, shape.dtype), sharding.LOGITS
  )
  chosen = (length_B.max() > jnp.array(widths[:-1])).sum()
  carry = logits_BxGxV, cache
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
