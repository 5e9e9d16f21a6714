"""The counts that only the loop can keep.

Letters: B rows, G positions of a block, A = G + 1 numbers of accepted drafts.
"""

import flax.struct
import jax
import jax.numpy as jnp

from speccascade.decoding import results


@flax.struct.dataclass
class Tally:
  """As results.Counts has them.

  Attributes:
    drafted_B: tokens that the drafter wrote.
    deferred_B: emitted positions where the target differs from q; None where
      no D_TV is summed.
    divergence_B: sum over emitted positions of D_TV(pi, q); likewise.
    accepted_lengths_BxA: for each number of drafts, iterations that accepted
      so many.
  """

  drafted_B: jax.Array
  deferred_B: jax.Array | None
  divergence_B: jax.Array | None
  accepted_lengths_BxA: jax.Array


def init(rows: int, block: int, divergences: bool) -> Tally:
  """Returns the tally before the first iteration.

  Args:
    rows: B.
    block: G.
    divergences: whether D_TV is summed.
  """
  zero_B = jnp.zeros(rows, jnp.int32)
  return Tally(
    drafted_B=zero_B,
    deferred_B=zero_B if divergences else None,
    divergence_B=jnp.zeros(rows, jnp.result_type(float))
    if divergences
    else None,
    accepted_lengths_BxA=jnp.zeros((rows, block + 1), jnp.int32),
  )


def add(
  tally: Tally,
  drafted_B: jax.Array,
  divergence_BxG: jax.Array | None,
  emitted_B: jax.Array,
  accepted_B: jax.Array,
  running_B: jax.Array,
) -> Tally:
  """Counts an iteration.

  Args:
    tally: of the iterations before.
    drafted_B: tokens that the drafter wrote.
    divergence_BxG: D_TV(pi, q) at each position of the block; None where it is
      not summed.
    emitted_B: tokens that were committed.
    accepted_B: those of them that the drafter wrote.
    running_B: rows that had not ended before.
  """
  A = tally.accepted_lengths_BxA.shape[1]
  hit_BxA = jnp.arange(A) == accepted_B[:, None]
  drafted_B = tally.drafted_B + drafted_B
  deferred_B, divergence_B = tally.deferred_B, tally.divergence_B
  if divergence_BxG is not None:
    emitted_BxG = jnp.arange(A - 1) < emitted_B[:, None]
    divergence_BxG = jnp.where(emitted_BxG, divergence_BxG, 0)
    differs_BxG = results.differs(divergence_BxG)
    deferred_B += differs_BxG.sum(1, dtype=jnp.int32)
    divergence_B += divergence_BxG.sum(1)
  lengths_BxA = tally.accepted_lengths_BxA + (hit_BxA & running_B[:, None])
  return Tally(drafted_B, deferred_B, divergence_B, lengths_BxA)


def counts(
  tally: Tally, length_B: jax.Array, accepted_B: jax.Array
) -> results.Counts:
  """Returns the counts of rows of so many tokens, so many of the drafter."""
  return results.Counts(
    verifier_calls_B=tally.accepted_lengths_BxA.sum(1),
    drafter_steps_B=tally.drafted_B,
    drafted_B=tally.drafted_B,
    accepted_B=accepted_B,
    rejected_B=length_B - accepted_B,
    deferred_B=tally.deferred_B,
    divergence_B=tally.divergence_B,
    accepted_lengths_BxA=tally.accepted_lengths_BxA,
  )
