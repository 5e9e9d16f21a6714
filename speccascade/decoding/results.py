"""What decoding takes and returns, a row of the batch at a time.

Letters: P prompts, S their tokens (padded), B rows, N generated tokens
(padded).
"""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Prompts:
  """Right-padded prompts, each read once and continued by `copies` rows.

  Attributes:
    token_PxS: int32.
    length_P: tokens that count, at least 1.
    example_P: identity of each example: rows of equal example, seed and
      settings draw equal tokens wherever they stand.
    copies: rows per prompt, so that one batch carries many thresholds; row b
      continues prompt b // copies.
  """

  token_PxS: jax.Array
  length_P: jax.Array
  example_P: jax.Array
  copies: int = flax.struct.field(pytree_node=False, default=1)

  @property
  def rows(self):
    """B, the rows of the batch."""
    return len(self.length_P) * self.copies

  def repeat(self, x_P):
    """A value of each prompt for each of its rows."""
    return jnp.repeat(jnp.asarray(x_P), self.copies, axis=0)


@flax.struct.dataclass
class Counts:
  """Exact counts of each row.

  Attributes:
    verifier_calls_B: blocks the verifier scored (prefill apart).
    drafter_steps_B: tokens the drafter was run for (prefill apart).
    drafted_B: tokens that the drafter wrote, accepted, rejected or dropped.
    accepted_B: emitted tokens that the drafter wrote.
    rejected_B: emitted tokens drawn from the residual in a draft's place.
    deferred_B: emitted positions where the rule's target was not q, that is
      where it listened to the verifier and the two differed. At temperature 0
      these are the rejected ones of speculative deferral.
    divergence_B: sum over emitted positions of D_TV(pi, q), the expected
      number of rejections where drafts are deferred speculatively; BiLD's
      rollback rejects otherwise.
    accepted_lengths_BxG: for each a in 0..gamma + 1, verifier calls that
      accepted a tokens.
  """

  verifier_calls_B: jax.Array
  drafter_steps_B: jax.Array
  drafted_B: jax.Array
  accepted_B: jax.Array
  rejected_B: jax.Array
  deferred_B: jax.Array
  divergence_B: jax.Array
  accepted_lengths_BxG: jax.Array


@flax.struct.dataclass
class Result:
  """Generated tokens and what they took.

  Attributes:
    token_BxN: int32, EOS included, 0 after it.
    length_B: tokens generated.
    from_drafter_BxN: whether a token is an accepted draft.
    counts: Counts; None for plain autoregressive decoding.
    log_prob_BxN: log probability of each token at temperature 1, in nats, 0
      past the last; of plain autoregressive decoding alone.
  """

  token_BxN: jax.Array
  length_B: jax.Array
  from_drafter_BxN: jax.Array | None = None
  counts: Counts | None = None
  log_prob_BxN: jax.Array | None = None

  @property
  def block_efficiency_B(self):
    """Tokens per verifier call."""
    return self.length_B / self.counts.verifier_calls_B


def differs(divergence):
  """Whether a D_TV is more than rounding: a rule may return q rounded."""
  return divergence > 8 * jnp.finfo(divergence.dtype).eps
