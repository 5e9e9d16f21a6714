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


def widths(G, fixed):
  """Widths that a program is compiled for, the widest G; G alone if fixed."""
  return (G,) if fixed else tuple(sorted({-(-G // 4), -(-G // 2), G}))


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

  def run(width, carry):
    _, cache = carry
    logits, cache = model.extend(params, cache, block_BxG[:, :width])
    spare = block_BxG.shape[1] - width
    return jnp.pad(logits, ((0, 0), (0, spare), (0, 0))), cache

  if len(widths) == 1:
    return run(*widths, (None, cache))
  shape = jax.eval_shape(model.extend, params, cache, block_BxG)[0]
  logits_BxGxV = sharding.constrain(
    jnp.zeros(shape.shape, shape.dtype), sharding.LOGITS
  )
  chosen = (length_B.max() > jnp.array(widths[:-1])).sum()
  carry = logits_BxGxV, cache
  for i, width in enumerate(widths):
    carry = when(chosen == i, functools.partial(run, width), carry)
  return carry


def when(condition, function, carry):
  """`function(carry)` if the condition holds, else `carry`, in place.

  A loop of at most one turn: `lax.cond` would copy the caches in a carry.
  """
  turns = jnp.asarray(condition).astype(jnp.int32)
  return lax.fori_loop(0, turns, lambda _, x: function(x), carry)
