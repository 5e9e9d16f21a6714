"""The form of an objective, and the objective of training from scratch."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from speccascade.models import base


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
  return next_token_sums(
    forward(model, params, batch), batch['token_BxT'], batch['weight_BxT']
  )


def forward(
  model: base.Model, params: Any, batch: Mapping[str, jax.Array]
) -> jax.Array:
  """Returns float32 logits_BxTxV; encodes the inputs if the batch has any."""
  inputs = [batch[k] for k in ('input_BxS', 'length_B') if k in batch]
  logits_BxTxV = model.forward(params, *inputs, batch['token_BxT'])
  return logits_BxTxV.astype(jnp.float32)


def targets(
  token_BxT: jax.Array, weight_BxT: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the token that each position predicts, and its weight.

  Args:
    token_BxT: tokens that a model reads.
    weight_BxT: weight of each as a target, 0 for prompt and padding.

  Returns:
    int32 target_BxT and float32 weight_BxT. The last position predicts
    nothing and has weight 0: T, and the layout of the logits, stay.
  """
  target_BxT = jnp.roll(token_BxT, -1, axis=1).astype(jnp.int32)
  weight_BxT = jnp.roll(weight_BxT.astype(jnp.float32), -1, axis=1)
  return target_BxT, weight_BxT.at[:, -1].set(0)


def next_token_sums(
  logits_BxTxV: jax.Array, token_BxT: jax.Array, weight_BxT: jax.Array
) -> dict[str, jax.Array]:
  """Returns sums over the target tokens.

  Args:
    logits_BxTxV: float32 logits after each token.
    token_BxT: tokens that the model read.
    weight_BxT: weight of each as a target, 0 for prompt and padding.

  Returns:
    float32 sums: 'loss' in nats, 'accuracy' of greedy predictions, 'weight'.
  """
  target_BxT, weight_BxT = targets(token_BxT, weight_BxT)
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
