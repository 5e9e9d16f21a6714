"""Draft schedules: how many tokens to draft before the verifier is asked.

A schedule changes what a token costs and never the token: with coupled
draws every schedule emits the same. Each row has its own, and a schedule is
three pure functions of a run-time parameter:

  init(parameter, B, G) -> state
  more(parameter, state, drafted, confidence_BxG) -> whether each row, having
    drafted so many tokens, wants another; it gets none past its EOS and none
    past G = gamma + 1. A token's confidence is the largest probability of q
    hat it was drawn by; past the drafted ones it is 1.
  update(parameter, state, drafted_B, accepted_B, confidence_BxG) -> state,
    after a block.

Letters: B rows, G = gamma + 1, most tokens of a draft.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

_FIRST_GUESS = 20  # Tokens of the first draft, in `adaptive`.

# Of `cost`: an undrafted token's chance of acceptance, and the rejections and
# the doubt that a row is taken to have seen before its first block.
_UNDRAFTED = 0.95
_REJECTED, _DOUBT = 0.5, 1.0


@dataclasses.dataclass(frozen=True)
class Schedule:
  """The three functions; `more` is None where every draft has G tokens."""

  init: Callable
  more: Callable | None
  update: Callable


def _same(parameter, state, drafted_B, accepted_B, confidence_BxG):
  del parameter, drafted_B, accepted_B, confidence_BxG
  return state


def _none(parameter, B, G):
  del parameter, B, G
  return ()


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


# Always gamma + 1 tokens. No parameter: ().
FIXED = Schedule(_none, None, _same)

# Until a token whose probability under q hat is below the parameter, a number
# or one a row: BiLD's fallback (Kim et al. 2023). That token is drafted too and
# judged like the others; the authors' code leaves it to the large model.
CONFIDENCE = Schedule(_none, _confident, _same)

# Two tokens more after a draft that was accepted whole, one fewer after a
# rejection; 20 at first. The heuristic of Hugging Face's assisted generation.
# No parameter: ().
ADAPTIVE = Schedule(_first_guess, _as_many_as_wanted, _grow_or_shrink)

# While more tokens promise more than they cost. The chance that all so far are
# accepted is taken to be exp(-b * doubt): doubt sums what their confidences
# lack of 1, b is the row's rejections over the doubt of what the verifier has
# read, the mean of a gamma posterior. A token is worth what the best fixed
# draft pays for one at a steady acceptance. The parameter is cost_G: what an
# iteration costs at 1..G tokens, in any unit.
COST = Schedule(_at_first, _while_it_pays, _trust_or_doubt)

SCHEDULES = {
  'fixed': FIXED,
  'confidence': CONFIDENCE,
  'adaptive': ADAPTIVE,
  'cost': COST,
}
