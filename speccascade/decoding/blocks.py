"""Verifying a block no wider than what was drafted.

A compiled block has a static width. The few widths here let the device
choose the smallest one that holds the longest draft of the batch.

Letters: B rows, G most tokens of a block, V vocabulary.
"""

import jax.numpy as jnp
from jax import lax


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

  def branch(width):
    def run(cache):
      logits, cache = model.extend(params, cache, block_BxG[:, :width])
      spare = block_BxG.shape[1] - width
      return jnp.pad(logits, ((0, 0), (0, spare), (0, 0))), cache

    return run

  if len(widths) == 1:
    return branch(*widths)(cache)
  index = (length_B.max() > jnp.array(widths[:-1])).sum()
  return lax.switch(index, [branch(w) for w in widths], cache)
