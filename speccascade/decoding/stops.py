"""Stop strings on the device: an automaton reads what a row emits.

Its states are how much of a stop string the text ends with, so one gather a
token tells whether a row has written one, however the tokens cut it up. The
text alone decides, hence rows of one text end alike whatever drafted it.

Letters: B rows, T tokens, S states, V vocabulary.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax


@flax.struct.dataclass
class Stops:
  """The automaton of `tokenizers.automaton`.

  Attributes:
    next_SxV: integers, the state after a token. State 0 is that of an empty
      text, and S - 1 that of one that holds a stop string.
  """

  next_SxV: jax.Array


def init(stops: Stops | tuple[()], rows: int) -> jax.Array | tuple[()]:
  """Returns state_B of rows that have emitted nothing; () without stops."""
  return jnp.zeros(rows, jnp.int32) if stops else ()


def read(stops: Stops | tuple[()], state_B, token_BxT: jax.Array):
  """Reads tokens.

  Args:
    stops: Stops, or () without any.
    state_B: of `init`, or of the token before.
    token_BxT: what follows.

  Returns:
    (state_BxT after each token, whether a stop string has ended_BxT by then);
    () and False everywhere without stops.
  """
  if not stops:
    return (), jnp.zeros(token_BxT.shape, bool)
  next_SxV = jnp.asarray(stops.next_SxV)

  def step(state_B, token_B):
    state_B = next_SxV[state_B, token_B].astype(jnp.int32)
    return state_B, state_B

  _, state_TxB = lax.scan(step, state_B, token_BxT.T)
  return state_TxB.T, state_TxB.T == next_SxV.shape[0] - 1


def after(state_B, state_BxT, number_B: jax.Array):
  """Returns the state of each row once so many of the T tokens are emitted."""
  if isinstance(state_B, tuple):
    return ()
  last_Bx1 = jnp.maximum(number_B - 1, 0)[:, None]
  read_B = jnp.take_along_axis(state_BxT, last_Bx1, 1)[:, 0]
  return jnp.where(number_B > 0, read_B, state_B)
