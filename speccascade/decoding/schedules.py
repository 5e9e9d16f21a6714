"""Draft schedules: how many tokens to draft before the verifier is asked.

A schedule changes what a token costs and never the token: with coupled
draws every schedule emits the same. Each row has its own state; `load` alone
weighs the rows of a batch together.

Letters: B rows, G = gamma + 1, most tokens of a draft.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.decoding import load

_FIRST_GUESS = 20  # Tokens of the first draft, in `adaptive`.

# Of `cost`: an undrafted token's chance of acceptance, and the rejections and
# the doubt that a row is taken to have seen before its first block.
_UNDRAFTED = 0.95
_REJECTED, _DOUBT = 0.5, 1.0


class Schedule(Protocol):
  """A draft schedule. Hashable: a compiled program is made for it.

  Attributes:
    swept: whether a config gives it values of its parameter.
    measured: whether its parameter is what iterations cost on this device.
    more: (parameter, state, drafted, confidence_BxG) -> whether each row,
      having drafted so many tokens, wants another; it gets none past its EOS
      and none past G. A token's confidence is the largest probability of the
      q hat it was drawn by; past the drafted ones it is 1. None where every
      draft has G tokens.
    begin: (parameter, state, active_B, able_B: rows that may draft, behind:
      blocks that the drafter has to read before it drafts) -> (the state that
      `more` and `update` are given, whether this block is to have any draft).
      Without one the verifier writes a token a row, where that is the token
      that a draft would have led to: at temperature 0, of methods that follow
      the verifier, and at any of those that are invariant. None where every
      block has a draft and no row depends on another.
    hopes: (parameter, state) -> whether the drafter is to read a prompt that
      comes now. A row whose prompt it has not read never drafts. None where
      `begin` is.
  """

  swept: bool
  measured: bool
  more: Callable[[Any, Any, jax.Array, jax.Array], jax.Array] | None
  begin: (
    Callable[[Any, Any, jax.Array, jax.Array, jax.Array], tuple[Any, jax.Array]]
    | None
  )
  hopes: Callable[[Any, Any], jax.Array] | None

  def init(self, parameter: Any, B: int, G: int) -> Any:
    """Returns the state before the first block."""

  def update(
    self,
    parameter: Any,
    state: Any,
    drafted_B: jax.Array,
    accepted_B: jax.Array,
    confidence_BxG: jax.Array,
  ) -> Any:
    """Returns the state after a block."""

  def check(self, parameter: Any, gamma: int, rows: int) -> None:
    """Raises ValueError unless the schedule takes the parameter."""


@dataclasses.dataclass(frozen=True)
class Plan:
  """How drafts are sized.

  Attributes:
    gamma: draft length, the longest where the schedule is not 'fixed'.
    schedule: a name of `SCHEDULES`.
    parameter: of the schedule; None where it takes none, or is measured.
  """

  gamma: int
  schedule: str = 'fixed'
  parameter: float | None = None

  @property
  def fixed(self) -> bool:
    """Whether every draft has gamma + 1 tokens."""
    return SCHEDULES[self.schedule].more is None

  def id(self) -> str:
    """Short name."""
    name = f'g{self.gamma}'
    if self.schedule != 'fixed':
      name += f'-{self.schedule}'
    if self.parameter is not None:
      name += str(self.parameter).removesuffix('.0')
    return name


@dataclasses.dataclass(frozen=True)
class _Functions:
  """A schedule of functions."""

  init: Callable
  more: Callable | None
  update: Callable
  check: Callable
  swept: bool = False
  measured: bool = False
  begin: Callable | None = None
  hopes: Callable | None = None


def get(name: str) -> Schedule:
  """Returns the schedule of that name, or raises ValueError."""
  if name not in SCHEDULES:
    raise ValueError(
      f'unknown schedule {name!r}; known: {", ".join(SCHEDULES)}'
    )
  return SCHEDULES[name]


def _same(parameter, state, drafted_B, accepted_B, confidence_BxG):
  del parameter, drafted_B, accepted_B, confidence_BxG
  return state


def _none(parameter, B, G):
  del parameter, B, G
  return ()


def _takes_nothing(parameter, gamma, rows):
  del gamma, rows
  if np.size(parameter):
    raise ValueError(
      f'this schedule takes no parameter, got {np.asarray(parameter).tolist()}'
    )


def _takes_a_probability(parameter, gamma, rows):
  del gamma
  parameter = np.asarray(parameter)
  if parameter.shape not in ((), (rows,)) or not np.all(
    (0 <= parameter) & (parameter <= 1)
  ):
    raise ValueError(
      'the schedule confidence takes a probability, or one for each of '
      f'{rows} rows, got {parameter.tolist()}'
    )


def _takes_costs(parameter, gamma, rows):
  del rows
  parameter, bounds = np.asarray(parameter), np.finfo(np.float32)
  if parameter.shape != (gamma + 1,) or not np.all(
    (parameter >= bounds.tiny) & (parameter <= bounds.max)
  ):
    raise ValueError(
      f'the schedule cost takes the costs of 1 to {gamma + 1} tokens, positive '
      f'numbers that float32 holds, got {parameter.tolist()}'
    )


def _confident(parameter, state, drafted, confidence_BxG):
  del state, drafted
  return confidence_BxG.min(1) >= parameter


def _first_guess(parameter, B, G):
  del parameter
  return jnp.full(B, min(_FIRST_GUESS, G)), jnp.int32(G)


def _as_many_as_wanted(parameter, state, drafted, confidence_BxG):
  del parameter, confidence_BxG
  return drafted < state[0]


def _grow_or_shrink(parameter, state, drafted_B, accepted_B, confidence_BxG):
  del parameter, confidence_BxG
  wanted_B, G = state
  change_B = jnp.where(accepted_B == drafted_B, 2, -1)
  changed_B = jnp.clip(wanted_B + change_B, 1, G)
  return jnp.where(drafted_B > 0, changed_B, wanted_B), G


def _at_first(parameter, B, G):
  del G
  return _weigh(
    jnp.full(B, _REJECTED), jnp.full(B, _DOUBT), _least_log_survival(parameter)
  )


def _weigh(rejected_B, doubt_B, least_G):
  """The state: what was seen, and the doubt up to which a draft goes on."""
  most_BxG = -least_G * (doubt_B / rejected_B)[:, None]
  return rejected_B, doubt_B, least_G, most_BxG


def _while_it_pays(parameter, state, drafted, confidence_BxG):
  del parameter
  most_B = lax.dynamic_index_in_dim(state[-1], drafted - 1, 1, keepdims=False)
  return (1 - confidence_BxG).sum(1) <= most_B


def _trust_or_doubt(parameter, state, drafted_B, accepted_B, confidence_BxG):
  del parameter
  rejected_B, doubt_B, least_G, _ = state
  verified_B = jnp.minimum(accepted_B + 1, drafted_B)
  verified_BxG = jnp.arange(least_G.shape[0]) < verified_B[:, None]
  return _weigh(
    rejected_B + (accepted_B < drafted_B),
    doubt_B + jnp.where(verified_BxG, 1 - confidence_BxG, 0).sum(1),
    least_G,
  )


def _least_log_survival(cost_G):
  """Log chance that all drafts so far stand, from which on more are worth it.

  For 1..G tokens drafted. More are worth it if, for some number of them, the
  expected tokens at the rate of the best draft cost no less than they add.
  """
  cost_G = jnp.asarray(cost_G)
  d_G = jnp.arange(1, cost_G.shape[0] + 1)
  tokens_G = (1 - _UNDRAFTED**d_G) / (1 - _UNDRAFTED)
  cost_a_token = (cost_G / tokens_G).min()
  longer_GxG = d_G[None] - d_G[:, None]
  gain_GxG = cost_a_token * tokens_G[longer_GxG - 1]
  price_GxG = cost_G[None] - cost_G[:, None]
  least_GxG = jnp.where(longer_GxG > 0, price_GxG / gain_GxG, jnp.inf)
  tiny = jnp.finfo(least_GxG.dtype).tiny  # Longer may even cost less.
  return jnp.log(jnp.maximum(least_GxG.min(1), tiny))


# Always gamma + 1 tokens.
FIXED = _Functions(_none, None, _same, _takes_nothing)

# Until a token whose probability under q hat is below the parameter, a number
# or one a row: BiLD's fallback (Kim et al. 2023). That token is drafted too and
# judged like the others; the authors' code leaves it to the large model.
CONFIDENCE = _Functions(
  _none, _confident, _same, _takes_a_probability, swept=True
)

# Two tokens more after a draft that was accepted whole, one fewer after a
# rejection; 20 at first. The heuristic of Hugging Face's assisted generation.
ADAPTIVE = _Functions(
  _first_guess, _as_many_as_wanted, _grow_or_shrink, _takes_nothing
)

# While more tokens promise more than they cost. The chance that all so far are
# accepted is taken to be exp(-b * doubt): doubt sums what their confidences
# lack of 1, b is the row's rejections over the doubt of what the verifier has
# read, the mean of a gamma posterior. A token is worth what the best fixed
# draft pays for one at a steady acceptance. The parameter is cost_G: what an
# iteration costs at 1..G tokens, in any unit.
COST = _Functions(
  _at_first, _while_it_pays, _trust_or_doubt, _takes_costs, measured=True
)

# While more tokens promise the batch more than they cost it, or not at all.
# The parameter is what an iteration costs at 0..G tokens.
LOAD = _Functions(
  load.init,
  load.more,
  load.update,
  load.check,
  measured=True,
  begin=load.begin,
  hopes=load.hopes,
)

SCHEDULES: dict[str, Schedule] = {
  'fixed': FIXED,
  'confidence': CONFIDENCE,
  'adaptive': ADAPTIVE,
  'cost': COST,
  'load': LOAD,
}
