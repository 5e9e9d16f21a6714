"""Next-token cross-entropy over the target tokens of a batch.

Letters: B rows, T tokens, V vocabulary.
"""

import jax.numpy as jnp
import optax


def next_token_sums(logits_BxTxV, token_BxT, weight_BxT):
  """Sums over the tokens to predict.

  Position t predicts token t + 1 and counts with that token's weight; the
  last position predicts nothing.

  Args:
    logits_BxTxV: the model's logits after each token.
    token_BxT: the tokens it was fed.
    weight_BxT: weight of each token as a target, 0 for prompt and padding.

  Returns:
    float32 (cross-entropy in nats, correct greedy predictions, weight).
  """
  # Shifting the targets keeps T, and with it the layout of the logits.
  target_BxT = jnp.roll(token_BxT, -1, axis=1).astype(jnp.int32)
  weight_BxT = jnp.roll(weight_BxT.astype(jnp.float32), -1, axis=1)
  weight_BxT = weight_BxT.at[:, -1].set(0)
  logits_BxTxV = logits_BxTxV.astype(jnp.float32)
  nats_BxT = optax.softmax_cross_entropy_with_integer_labels(
    logits_BxTxV, target_BxT
  )
  correct_BxT = jnp.argmax(logits_BxTxV, axis=-1) == target_BxT
  return (
    jnp.sum(weight_BxT * nats_BxT),
    jnp.sum(weight_BxT * correct_BxT),
    jnp.sum(weight_BxT),
  )


def mean(sums):
  """(cross-entropy in nats a target token, token accuracy) of such sums."""
  nats, correct, weight = sums
  weight = jnp.maximum(weight, 1)  # A batch without targets costs nothing.
  return nats / weight, correct / weight
