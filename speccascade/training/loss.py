"""Objectives, and the one of training from scratch: the next token.

An objective gives sums over the target tokens of a batch, so that means over
ragged batches add up. It is a function
`(model, params, frozen, batch, key) -> sums`:

  model: the one that is trained, and params, its parameters.
  frozen: parameters that no step changes, as a teacher's; () without any.
  batch: arrays of `data.Examples.rows`.
  key: of this step's draws; None when measuring on validation examples,
    whose rows are taken as they are.
  sums: a dict; 'loss' is what is minimised and 'weight' what all are divided
    by, the number of target tokens.

Letters: B rows, T tokens, V vocabulary.
"""

import jax.numpy as jnp
import optax


def next_token(model, params, frozen, batch, key):
  """Objective: cross-entropy in nats, and accuracy of greedy predictions."""
  del frozen, key
  return next_token_sums(
    forward(model, params, batch), batch['token_BxT'], batch['weight_BxT']
  )


def forward(model, params, batch):
  """float32 logits_BxTxV; an encoder-decoder's batch has inputs apart."""
  inputs = [batch[k] for k in ('input_BxS', 'length_B') if k in batch]
  logits_BxTxV = model.forward(params, *inputs, batch['token_BxT'])
  return logits_BxTxV.astype(jnp.float32)


def targets(token_BxT, weight_BxT):
  """What each position predicts, token t + 1, and that token's weight.

  Args:
    token_BxT: the tokens that a model is fed.
    weight_BxT: weight of each as a target, 0 for prompt and padding.

  Returns:
    int32 target_BxT and float32 weight_BxT; the last position predicts
    nothing. Shifting the targets keeps T, and with it the logits' layout.
  """
  target_BxT = jnp.roll(token_BxT, -1, axis=1).astype(jnp.int32)
  weight_BxT = jnp.roll(weight_BxT.astype(jnp.float32), -1, axis=1)
  return target_BxT, weight_BxT.at[:, -1].set(0)


def next_token_sums(logits_BxTxV, token_BxT, weight_BxT):
  """Sums over the tokens to predict.

  Args:
    logits_BxTxV: float32 logits after each token.
    token_BxT: the tokens that the model was fed.
    weight_BxT: weight of each token as a target, 0 for prompt and padding.

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


def mean(sums):
  """Means over the target tokens: what the sums hold besides 'weight'."""
  # A batch without targets costs nothing.
  weight = jnp.maximum(sums['weight'], 1)
  return {k: v / weight for k, v in sums.items() if k != 'weight'}
