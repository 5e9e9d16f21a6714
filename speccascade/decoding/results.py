"""What decoding takes and returns, a row of the batch at a time.

Letters: P prompts, S their tokens (padded), B rows, R rows of a group,
N generated tokens (padded), G positions of a block, A = G + 1 numbers of
accepted drafts.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from speccascade.decoding import stops as stops_lib
from speccascade.sampling import probabilities

NONE = -1  # No position: nothing was at fault.


@flax.struct.dataclass
class Prompts:
  """Right-padded prompts, each read once and continued by `copies` rows.

  Attributes:
    token_PxS: int32.
    length_P: tokens that count, at least 1.
    example_P: identity of each example: rows of equal example, seed and
      settings draw equal tokens wherever they stand.
    copies: rows per prompt, so that one batch carries many settings; row b
      continues prompt b mod P.
  """

  token_PxS: jax.Array
  length_P: jax.Array
  example_P: jax.Array
  copies: int = flax.struct.field(pytree_node=False, default=1)

  @property
  def rows(self) -> int:
    """B, the rows of the batch."""
    return len(self.length_P) * self.copies

  def tile(self, x_P) -> jax.Array:
    """A value of each prompt for each of its rows."""
    return jnp.tile(jnp.asarray(x_P), self.copies)


@flax.struct.dataclass
class Request:
  """What the rows of a batch ask for.

  Attributes:
    prompts: Prompts.
    sampling: Sampling of both models.
    values: for each group of rows, an array [R] for each parameter of its
      method.
    key: jax.random.key of the run's seed.
    schedule_parameter: of the draft schedule; () where it takes none.
    stops: of the strings that end a row; () without any.
  """

  prompts: Prompts
  sampling: probabilities.Sampling
  values: tuple[tuple[jax.Array, ...], ...]
  key: jax.Array
  schedule_parameter: Any = ()
  stops: stops_lib.Stops | tuple[()] = ()


@flax.struct.dataclass
class Counts:
  """Exact counts of each row.

  Attributes:
    verifier_calls_B: blocks the verifier scored (prefill apart).
    drafter_steps_B: tokens the drafter was run for (prefill apart).
    drafted_B: tokens that the drafter wrote, accepted, rejected or dropped.
    accepted_B: emitted tokens that the drafter wrote.
    rejected_B: emitted tokens that are no accepted draft.
    deferred_B: emitted positions where the target pi differs from q. At
      temperature 0 the speculative methods reject at exactly these. None of a
      loop that sums no D_TV.
    divergence_B: sum over emitted positions of D_TV(pi, q): the expected
      number of rejections of a method with `divergence_rejects`; likewise.
    accepted_lengths_BxA: for each a in 0..gamma + 1, verifier calls that
      accepted a tokens.
  """

  verifier_calls_B: jax.Array
  drafter_steps_B: jax.Array
  drafted_B: jax.Array
  accepted_B: jax.Array
  rejected_B: jax.Array
  deferred_B: jax.Array | None
  divergence_B: jax.Array | None
  accepted_lengths_BxA: jax.Array


@flax.struct.dataclass
class Result:
  """Generated tokens and what they took.

  Attributes:
    token_BxN: int32, what ends a row included, 0 after it.
    length_B: tokens generated.
    from_drafter_BxN: whether a token is an accepted draft.
    counts: Counts; None for plain autoregressive decoding.
    log_prob_BxN: log probability of each token at temperature 1, in nats, 0
      past the last; of plain autoregressive decoding alone.
    observed: {name: BxN} of what `loop.Loop.observe` gave at each emitted
      position, 0 past the last.
    fault_B: {model: output position of each row at which it first gave a
      logit that is NaN or infinite, NONE where it gave none}.
  """

  token_BxN: jax.Array
  length_B: jax.Array
  from_drafter_BxN: jax.Array | None = None
  counts: Counts | None = None
  log_prob_BxN: jax.Array | None = None
  observed: dict[str, jax.Array] = flax.struct.field(default_factory=dict)
  fault_B: dict[str, jax.Array] = flax.struct.field(default_factory=dict)

  @property
  def block_efficiency_B(self) -> jax.Array:
    """Tokens per verifier call."""
    return self.length_B / self.counts.verifier_calls_B


def faults(known_B, finite_BxT, length_B, number_B):
  """The first position at fault of each row, once more were emitted.

  Args:
    known_B: of the positions before; NONE where none was.
    finite_BxT: whether a model's logits of the next positions were finite.
    length_B: positions before.
    number_B: how many of the T were emitted.
  """
  T = finite_BxT.shape[1]
  at_fault_BxT = ~finite_BxT & (jnp.arange(T) < number_B[:, None])
  first_B = length_B + at_fault_BxT.argmax(1).astype(jnp.int32)
  new_B = jnp.where(at_fault_BxT.any(1), first_B, NONE)
  return jnp.where(known_B == NONE, new_B, known_B)


def differs(divergence: jax.Array) -> jax.Array:
  """Whether a D_TV exceeds rounding: a rule may return q rounded."""
  return divergence > 8 * jnp.finfo(divergence.dtype).eps
