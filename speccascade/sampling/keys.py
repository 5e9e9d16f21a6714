"""Coupled randomness: the uniforms of every draw.

Every draw for output position t of example e uses uniforms of
fold_in(fold_in(key, e), t), by role. A token is then a function of the tokens
before it and of these keys alone, so that one seed gives the same tokens for
any draft length, batch and device layout. The generator is threefry whatever
JAX is set to: others' numbers may depend on the batch.

Letters: B rows, T positions, M all positions of an answer, U uniforms of a
position.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Roles of a position's uniforms. A draw takes two, see `draws.draw`.
DRAFT, ACCEPT, RESIDUAL = slice(0, 2), 2, slice(3, 5)
U = 5

_IMPL = 'threefry2x32'


def make(seed: int) -> jax.Array:
  """Returns the key of a run: `jax.random.key(seed)` as JAX is set up.

  Args:
    seed: in 0..2^31 - 1.

  Raises:
    ValueError: the seed is out of range, where JAX would wrap it.
  """
  if not 0 <= seed < 2**31:
    raise ValueError(f'seed={seed} must be in 0..2147483647')
  # From its data: `jax.random.key` adds the setting jax_random_seed_offset.
  return jax.random.wrap_key_data(np.array([0, seed], np.uint32), impl=_IMPL)


def check(key: jax.Array) -> None:
  """Raises ValueError unless `make` could have made a key."""
  typed = jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
  if not typed or str(jax.random.key_impl(key)) != _IMPL or np.ndim(key):
    raise ValueError(
      'key must be one key of the generator threefry2x32; make it with '
      'speccascade.sampling.keys.make(seed)'
    )


def row_keys(key, example_B, sample_B=None):
  """The key of each row: fold_in(key, e), of sample 0 of an example e.

  Sample s of several has fold_in(fold_in(key, s), e).

  Args:
    key: of the run.
    example_B: identity of each example.
    sample_B: which answer to it; None is 0.
  """
  with jax.threefry_partitionable(True):
    fold = jax.vmap(jax.random.fold_in, (0, 0))
    key_B = jnp.broadcast_to(key, example_B.shape)
    if sample_B is not None:
      key_B = jnp.where(sample_B > 0, fold(key_B, sample_B), key_B)
    return fold(key_B, example_B)


def uniforms(key_B, number):
  """BxMxU uniforms in [0, 1), by role, of each row's first output positions.

  Decoders make all of them before their loop: on a CPU the generator's rounds
  would cost a loop as much as its drafting.

  Args:
    key_B: of `row_keys`.
    number: M.
  """

  def one(key, position):
    return jax.random.uniform(jax.random.fold_in(key, position), (U,))

  with jax.threefry_partitionable(True):
    of_row = jax.vmap(one, (None, 0))
    return jax.vmap(of_row, (0, None))(key_B, jnp.arange(number))


def upcoming(u_BxMxU, length_B, number):
  """The uniforms of each row's next positions, BxTxU.

  Args:
    u_BxMxU: of positions 0..M-1.
    length_B: tokens a row has.
    number: T.
  """
  take = jax.vmap(lax.dynamic_slice_in_dim, (0, 0, None))
  return take(u_BxMxU, length_B, number)
