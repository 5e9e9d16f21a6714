"""Which tokens end an answer."""

import functools
import operator

import jax
import jax.numpy as jnp


def check(eos_ids: tuple[int, ...]) -> None:
  """Raises ValueError unless some token ends an answer."""
  if not isinstance(eos_ids, tuple) or not eos_ids:
    raise ValueError(
      f'eos_ids must be a tuple of at least one token, got {eos_ids!r}; take '
      "the tokenizer's"
    )


def ends(token: jax.Array, eos_ids: tuple[int, ...]) -> jax.Array:
  """Returns whether each token ends an answer.

  By an equality test for each of the few, which needs no table of V.

  Args:
    token: of any shape.
    eos_ids: tokens that end an answer.
  """
  return functools.reduce(operator.or_, (token == i for i in eos_ids))


def until_end(ends_BxT: jax.Array) -> jax.Array:
  """Returns the tokens up to and with the first that ends a row; T without."""
  first_B = ends_BxT.argmax(1).astype(jnp.int32) + 1
  return jnp.where(ends_BxT.any(1), first_B, ends_BxT.shape[1])
