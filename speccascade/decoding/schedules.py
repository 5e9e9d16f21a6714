"""Draft schedules: how many tokens to draft before the verifier is asked.

A schedule changes what a token costs and never the token: with coupled
draws every schedule emits the same. Each row has its own, and a schedule is
three pure functions of a run-time parameter:

  init(parameter, B, G) -> state
  more(parameter, state, drafted, confidence_B) -> whether each row, having
    drafted so many tokens, the last with this probability under q hat,
    wants another; it gets none past its EOS and none past G = gamma + 1.
  update(parameter, state, drafted_B, accepted_B) -> state, after a block.

Letters: B rows, G = gamma + 1, most tokens of a draft.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

_FORGET = 0.95  # Weight of the past after each block, in `cost`.
_PRIOR = (1.6, 2.0)  # Accepted and tried drafts before the first block.


@dataclasses.dataclass(frozen=True)
class Schedule:
  """The three functions; `more` is None where every draft has G tokens."""

  init: Callable
  more: Callable | None
  update: Callable


def _same(parameter, state, drafted_B, accepted_B):
  del parameter, drafted_B, accepted_B
  return state


def _none(parameter, B, G):
  del parameter, B, G
  return ()


def _confident(parameter, state, drafted, confidence_B):
  del state, drafted
  return confidence_B >= parameter


def _first_guess(parameter, B, G):
  del parameter
  return jnp.full(B, min(5, G)), jnp.int32(G)


def _as_many_as_wanted(parameter, state, drafted, confidence_B):
  del parameter, confidence_B
  return drafted < state[0]


def _grow_or_shrink(parameter, state, drafted_B, accepted_B):
  del parameter
  wanted_B, G = state
  change_B = jnp.where(accepted_B == drafted_B, 2, -1)
  changed_B = jnp.clip(wanted_B + change_B, 1, G)
  return jnp.where(drafted_B > 0, changed_B, wanted_B), G


def _cheapest_first(parameter, B, G):
  del G
  accepted_B, tried_B = (jnp.full(B, x) for x in _PRIOR)
  return _cheapest(parameter, accepted_B / tried_B), accepted_B, tried_B


def _cheapest_next(parameter, state, drafted_B, accepted_B):
  _, old_accepted_B, old_tried_B = state
  tried_B = accepted_B + (accepted_B < drafted_B)
  new_accepted_B = _FORGET * old_accepted_B + accepted_B
  new_tried_B = _FORGET * old_tried_B + tried_B
  active_B = drafted_B > 0
  new_accepted_B = jnp.where(active_B, new_accepted_B, old_accepted_B)
  new_tried_B = jnp.where(active_B, new_tried_B, old_tried_B)
  wanted_B = _cheapest(parameter, new_accepted_B / new_tried_B)
  return wanted_B, new_accepted_B, new_tried_B


def _cheapest(cost_G, acceptance_B):
  """Draft length of the most expected tokens per cost."""
  i_G = jnp.arange(cost_G.shape[0])
  tokens_BxG = jnp.cumsum(acceptance_B[:, None] ** i_G, 1)
  return jnp.argmax(tokens_BxG / cost_G, 1).astype(jnp.int32) + 1


# Always gamma + 1 tokens. No parameter: ().
FIXED = Schedule(_none, None, _same)

# Until a token whose probability under q hat is below the parameter, a number
# or one a row. That token is drafted too and the verifier decides on it, as
# after BiLD's fallback (Kim et al. 2023).
CONFIDENCE = Schedule(_none, _confident, _same)

# Two tokens more after a draft that was accepted whole, one fewer after a
# rejection; 5 at first. The heuristic of Hugging Face's assisted generation.
# No parameter: ().
ADAPTIVE = Schedule(_first_guess, _as_many_as_wanted, _grow_or_shrink)

# The length d that maximises the expected tokens per cost,
# (1 + a + ... + a^(d - 1)) / cost_d, a the row's running acceptance
# (Leviathan et al. 2023, section 3.5, for a cost that is not linear). The
# parameter is cost_G: what an iteration costs at 1..G tokens, in any unit.
COST = Schedule(_cheapest_first, _as_many_as_wanted, _cheapest_next)

SCHEDULES = {
  'fixed': FIXED,
  'confidence': CONFIDENCE,
  'adaptive': ADAPTIVE,
  'cost': COST,
}
