"""Coupled randomness: the uniforms of every draw.

Every draw for output position t of example e uses uniforms of
fold_in(fold_in(key, e), t), one a role. A token is then a function of the
tokens before it and of these keys alone, so that one seed gives the same
tokens for any draft length, batch and device layout.

Letters: B rows, T positions, M all positions of an answer.
"""

import jax
from jax import lax

DRAFT, ACCEPT, RESIDUAL = range(3)  # Roles of a position's three uniforms.


def row_keys(key, example_B):
  """fold_in(key, e) for each row."""
  return jax.vmap(jax.random.fold_in, (None, 0))(key, example_B)


def uniforms(key_B, position_BxT):
  """BxTx3 uniforms in [0, 1), by role, of each row's output positions.

  Decoders make all of them before their loop: on a CPU the generator's rounds
  would cost a loop as much as its drafting.
  """

  def one(key, position):
    return jax.random.uniform(jax.random.fold_in(key, position), (3,))

  return jax.vmap(jax.vmap(one, (None, 0)))(key_B, position_BxT)


def upcoming(u_BxMx3, length_B, number):
  """The uniforms of each row's next positions, BxTx3.

  Args:
    u_BxMx3: of positions 0..M-1.
    length_B: tokens a row has.
    number: T.
  """
  take = jax.vmap(lax.dynamic_slice_in_dim, (0, 0, None))
  return take(u_BxMx3, length_B, number)
