"""The form of an objective, and the objective of training from scratch."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import lax

from speccascade.models import base, products

# Bytes of logits that a device makes at a time, at most. Each time the table of
# V tokens is gathered and its gradient summed over 'data'.
_LOGITS = 2**30


class Objective(Protocol):
  """Sums over the target tokens of a batch; ragged batches add up."""

  def __call__(
    self,
    model: base.Model,
    params: Any,
    frozen: Any,
    batch: Mapping[str, jax.Array],
    key: jax.Array | None,
  ) -> dict[str, jax.Array]:
    """Returns sums by name.

    Args:
      model: is trained.
      params: its parameters.
      frozen: parameters that no step changes, such as a teacher's; or ().
      batch: arrays of `data.Examples.rows`.
      key: of this step's draws; None in validation, which takes the rows as
        they are.

    Returns:
      'loss', which is minimised; 'weight', the number of target tokens, which
      divides all sums; and any others.
    """


def next_token(model, params, frozen, batch, key):
  """Objective: cross-entropy in nats, and accuracy of greedy predictions."""
  del frozen, key

  def sums(x_BxTxD, target_BxT, weight_BxT):
    logits_BxTxV = logits(model, params, x_BxTxD)
    return next_token_sums(logits_BxTxV, target_BxT, weight_BxT)

  own = hidden(model, params, batch), *targets(batch)
  return sum_over_tokens(sums, model.vocab_size, *own)


def hidden(
  model: base.Model, params: Any, batch: Mapping[str, jax.Array]
) -> jax.Array:
  """Returns x_BxTxD, of which `logits` makes logits; encodes any inputs."""
  inputs = [batch[k] for k in ('input_BxS', 'length_B') if k in batch]
  return model.hidden(params, *inputs, batch['token_BxT'])


def logits(model: base.Model, params: Any, x_BxTxD: jax.Array) -> jax.Array:
  """Returns logits_BxTxV, float32 or wider."""
  logits_BxTxV = model.logits(params, x_BxTxD)
  return logits_BxTxV.astype(products.wide(logits_BxTxV.dtype))


def sum_over_tokens(
  function: Callable[..., Any], vocab_size: int, *arrays: jax.Array
) -> Any:
  """Sums what a function returns of chunks of the tokens of all rows.

  Logits of all tokens may not fit. Those of a chunk are computed again for the
  gradient, so that one chunk's are held at a time.

  Args:
    function: arrays (B, any number of tokens, ...) -> tree of sums.
    vocab_size: V; of several models, of all.
    *arrays: arrays (B, T, ...); where the last is 0, a token adds nothing.
  """
  B, T = arrays[0].shape[:2]
  mesh = jax.sharding.get_abstract_mesh()
  devices = 1 if mesh.empty else mesh.size
  number = min(T, -(-4 * B * T * vocab_size // (devices * _LOGITS)))
  if number == 1:
    return function(*arrays)

  def split(x):
    missing = -T % number
    x = jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2))
    return x.reshape(B, number, -1, *x.shape[2:]).swapaxes(0, 1)

  again = jax.checkpoint(function)
  step = lambda _, chunk: (None, again(*chunk))  # noqa: E731
  _, sums = lax.scan(step, None, tuple(map(split, arrays)))
  return jax.tree.map(lambda x: x.sum(0), sums)


def targets(batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
  """Returns the token that each position predicts, and its weight.

  Args:
    batch: arrays of `data.Examples.rows`.

  Returns:
    int32 target_BxT and float32 weight_BxT. The last position predicts
    nothing and has weight 0: T, and the layout of the logits, stay.
  """
  target_BxT = jnp.roll(batch['token_BxT'], -1, axis=1).astype(jnp.int32)
  weight_BxT = batch['weight_BxT'].astype(jnp.float32)
  return target_BxT, jnp.roll(weight_BxT, -1, axis=1).at[:, -1].set(0)


def next_token_sums(
  logits_BxTxV: jax.Array, target_BxT: jax.Array, weight_BxT: jax.Array
) -> dict[str, jax.Array]:
  """Returns sums over the target tokens.

  Args:
    logits_BxTxV: float32 logits after each token.
    target_BxT: the token after it.
    weight_BxT: weight of that, 0 of a prompt or padding.

  Returns:
    float32 sums: 'loss' in nats, 'accuracy' of greedy predictions, 'weight'.
  """
  nats_BxT = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxTxV, target_BxT
  )
  correct_BxT = jnp.argmax(logits_BxTxV, axis=-1) == target_BxT
  return {
    'loss': jnp.sum(weight_BxT * nats_BxT),
    'accuracy': jnp.sum(weight_BxT * correct_BxT),
    'weight': jnp.sum(weight_BxT),
  }


def mean(sums: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  """Divides all other sums by 'weight'."""
  # The means of a batch without targets are 0.
  weight = jnp.maximum(sums['weight'], 1)
  return {k: v / weight for k, v in sums.items() if k != 'weight'}
