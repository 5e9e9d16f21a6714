"""A schedule that drafts as long as that makes the whole batch faster.

An iteration costs what its longest draft costs, so the rows decide together: a
block goes on while the tokens that all of them may expect of it are worth its
price, at the tokens a millisecond that the best draft has. Where that is little
more than plain decoding has, nothing is drafted. Rows whose prompts the drafter
has left out write a token meanwhile.

What a drafter did not read of an answer it reads before it drafts, in blocks.
Each is taken to cost what one more token of a draft does, and drafts share that
cost with those that follow.

A token is taken to be accepted at the rate that its row has shown, of which the
batch's is the prior. One that is drafted is taken to stand less often the more
its drafter doubts it, beside how much it doubted so far: a drafter that is as
sure of what is rejected tells nothing. Costs are those of an iteration of the
whole batch, of 0 to G drafted tokens: how many rows there are is in them.

Letters: B rows, G = gamma + 1, most tokens of a draft.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

# What is taken to be known at first: a token is rejected at this rate, as sure
# as of `_EACH` tokens a row and `_MOST` in all: a few rejections are not to end
# drafts. Once the batch's rate is known, a row has it, as sure as of `_ROW`.
_REJECTED = 0.05
_EACH, _MOST, _ROW = 10.0, 64.0, 16.0
_DOUBT = 0.01  # Of each token, even if the drafter has none.
# What the batch, and a row, has seen fades over so many iterations, so that a
# batch that does not draft tries again in the end.
_MEMORY, _ROW_MEMORY = 512.0, 64.0
# Drafts must promise so many times what plain decoding has: that is the best of
# several estimates. And so many for a drafter to read a prompt, which no cost
# tells of.
_GAIN, _READ = 1.05, 1.1
# Drafts that share what is read before the first of them; of a batch of which
# less is known, as many as tokens are known: the first may be the last.
_SHARED = 64.0
_HOPELESS = 0.02  # Chance that a draft stands, below which a row leaves it.


@flax.struct.dataclass
class State:
  """What was seen, and what the block at hand is weighed by.

  Attributes:
    rejected_B: drafts that were rejected.
    verified_B: drafts that the verifier has read.
    doubt_B: what their confidences lacked of 1, summed.
    active_B: rows that draft, if any does.
    rate_B: chance that a draft is accepted.
    mean_B: doubt of a token that has this chance.
    worth: tokens a unit of cost, of the best draft.
    rejected: of all rows so far, fading.
    verified: likewise.
    doubt: likewise.
  """

  rejected_B: jax.Array
  verified_B: jax.Array
  doubt_B: jax.Array
  active_B: jax.Array
  rate_B: jax.Array
  mean_B: jax.Array
  worth: jax.Array
  rejected: jax.Array
  verified: jax.Array
  doubt: jax.Array


def init(parameter: Any, B: int, G: int) -> State:
  """Returns the state before the first block."""
  del G
  dtype = jnp.result_type(jnp.asarray(parameter).dtype, float)
  zero_B, zero = jnp.zeros(B, dtype), jnp.zeros((), dtype)
  return State(*[zero_B] * 3, jnp.ones(B, bool), *[zero_B] * 2, *[zero] * 4)


def _sure(state):
  """Tokens that a batch's rate is taken to be known by at first."""
  return min(_EACH * len(state.rejected_B), _MOST)


def _rejected(state):
  """The chance that a draft of the batch is rejected."""
  sure = _sure(state)
  return (sure * _REJECTED + state.rejected) / (sure + state.verified)


def hopes(parameter: Any, state: State) -> jax.Array:
  """Whether what drafts promise of a new row is worth reading its prompt for.

  What the drafter does not read now is never drafted for.
  """
  cost_A = jnp.asarray(parameter)
  one_1 = jnp.ones(1, cost_A.dtype)
  total_G = _tokens(one_1 - _rejected(state), one_1, cost_A.shape[0] - 1)
  return (total_G / cost_A[1:]).max() > _READ / cost_A[0]


def begin(
  parameter: Any,
  state: State,
  active_B: jax.Array,
  able_B: jax.Array,
  behind: jax.Array,
) -> tuple[State, jax.Array]:
  """Weighs a block.

  Args:
    parameter: costs of an iteration that drafts 0..G tokens.
    state: State.
    active_B: rows that go on.
    able_B: rows that may draft; the others write a token.
    behind: blocks that the drafter has to read first.

  Returns:
    (State that `more` is given; whether to draft at all).
  """
  cost_A = jnp.asarray(parameter)
  sure = _sure(state)
  known = sure + state.verified
  rejected = _rejected(state)
  own_B = (_ROW * rejected + state.rejected_B) / (_ROW + state.verified_B)
  rate_B = 1 - own_B
  doubt = (sure * _REJECTED + state.doubt) / known
  mean_B = (_ROW * doubt + state.doubt_B) / (_ROW + state.verified_B)
  drafting_B = active_B & able_B
  G = cost_A.shape[0] - 1
  total_G = _tokens(rate_B, drafting_B, G)
  promised_G = total_G + (active_B & ~able_B).sum()
  block = jnp.maximum(cost_A[G] - cost_A[0], 0) / G
  # The longer an answer, the more drafts follow: each pays for a block at most.
  read = block * jnp.minimum(behind / jnp.minimum(known, _SHARED), 1)
  worth = (promised_G / cost_A[1:]).max()
  resumed = (promised_G / (cost_A[1:] + read)).max()
  plain = active_B.sum() / cost_A[0]
  state = state.replace(
    active_B=drafting_B, rate_B=rate_B, mean_B=_DOUBT + mean_B, worth=worth
  )
  return state, (worth > _GAIN * plain) & (resumed > plain)


def _tokens(rate_B, weight_B, G):
  """Tokens that drafts of 1..G may be expected to commit, of all rows."""
  power_BxG = rate_B[:, None] ** jnp.arange(G)
  return jnp.cumsum((weight_B[:, None] * power_BxG).sum(0))


def more(
  parameter: Any, state: State, drafted: jax.Array, confidence_BxG: jax.Array
) -> jax.Array:
  """Whether each row drafts on, see `schedules.Schedule`."""
  cost_A = jnp.asarray(parameter)
  G = cost_A.shape[0] - 1
  doubt_B = _DOUBT * drafted + (1 - confidence_BxG).sum(1)
  stands_B = state.rate_B ** (doubt_B / state.mean_B)
  gain_G = _tokens(state.rate_B, jnp.where(state.active_B, stands_B, 0), G)
  further_G = drafted + jnp.arange(1, G + 1)
  price_G = cost_A[jnp.minimum(further_G, G)] - cost_A[drafted]
  pays_G = (further_G <= G) & (gain_G >= state.worth * price_G)
  return pays_G.any() & ((stands_B >= _HOPELESS) | (price_G[0] <= 0))


def update(
  parameter: Any,
  state: State,
  drafted_B: jax.Array,
  accepted_B: jax.Array,
  confidence_BxG: jax.Array,
) -> State:
  """Returns the state after a block."""
  del parameter
  verified_B = jnp.minimum(accepted_B + 1, drafted_B)
  rejected_B = accepted_B < drafted_B
  verified_BxG = jnp.arange(confidence_BxG.shape[1]) < verified_B[:, None]
  doubt_B = jnp.where(verified_BxG, 1 - confidence_BxG, 0).sum(1)
  own, fading = 1 - 1 / _ROW_MEMORY, 1 - 1 / _MEMORY
  return state.replace(
    rejected_B=own * state.rejected_B + rejected_B,
    verified_B=own * state.verified_B + verified_B,
    doubt_B=own * state.doubt_B + doubt_B,
    rejected=fading * state.rejected + rejected_B.sum(),
    verified=fading * state.verified + verified_B.sum(),
    doubt=fading * state.doubt + doubt_B.sum(),
  )


def forced(drafted: int, G: int) -> np.ndarray:
  """Returns costs by which a batch drafts so many tokens, whatever it saw.

  Args:
    drafted: 0 to G; 0 is 1 where a block must have a draft.
    G: most tokens of a draft.
  """
  cost_A = np.full(G + 1, 1e12)
  cost_A[1 : drafted + 1] = 1.0
  if not drafted:
    cost_A[0], cost_A[1] = 1e-12, 1.0
  return cost_A


def check(parameter: Any, gamma: int, rows: int) -> None:
  """Raises ValueError unless they are costs of 0 to gamma + 1 tokens."""
  del rows
  parameter, bounds = np.asarray(parameter), np.finfo(np.float32)
  if parameter.shape != (gamma + 2,) or not np.all(
    (parameter >= bounds.tiny) & (parameter <= bounds.max)
  ):
    raise ValueError(
      f'the schedule load takes the costs of 0 to {gamma + 1} tokens, positive '
      f'numbers that float32 holds, got {parameter.tolist()}'
    )
