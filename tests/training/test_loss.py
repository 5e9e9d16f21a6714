import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from speccascade.training import loss

# Three ragged rows: prompts of 2, 1 and 1 tokens, targets of 2, 3 and 1.
TOKEN_BxT = jnp.array([[2, 3, 1, 0, 0], [2, 3, 3, 1, 0], [2, 1, 0, 0, 0]])
WEIGHT_BxT = jnp.array(
  [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0]], jnp.uint8
)


@jax.jit
def _sums(logits_BxTxV, token_BxT, weight_BxT):
  batch = {'token_BxT': token_BxT, 'weight_BxT': weight_BxT}
  return loss.next_token_sums(logits_BxTxV, *loss.targets(batch))


def _loss(logits_BxTxV, weight_BxT=WEIGHT_BxT):
  means = loss.mean(_sums(logits_BxTxV, TOKEN_BxT, weight_BxT))
  return means['loss'], means['accuracy']


def test_loss_and_accuracy_by_hand():
  # Probability 1/2 on token 3 and 1/6 on each of the others, everywhere: the
  # targets 1, 3, 3, 1, 1 cost log 6 three times and log 2 twice.
  probability_V = jnp.array([1 / 6, 1 / 6, 1 / 6, 1 / 2])
  logits_BxTxV = jnp.broadcast_to(jnp.log(probability_V), (3, 5, 4)) + 7
  nats, accuracy = _loss(logits_BxTxV)
  expected = (3 * math.log(6) + 2 * math.log(2)) / 5
  np.testing.assert_allclose(nats, expected, rtol=1e-6)
  np.testing.assert_allclose(accuracy, 2 / 5, rtol=1e-6)


def test_only_positions_before_a_target_token_have_a_gradient():
  logits_BxTxV = jax.random.normal(jax.random.key(0), (3, 5, 4))
  gradient_BxTxV = jax.jit(jax.grad(lambda x: _loss(x)[0]))(logits_BxTxV)
  predicts_BxT = np.zeros((3, 5), bool)
  predicts_BxT[:, :-1] = WEIGHT_BxT[:, 1:]
  np.testing.assert_array_equal(
    np.any(gradient_BxTxV != 0, axis=-1), predicts_BxT
  )


def test_the_first_token_is_never_a_target():
  logits_BxTxV = jax.random.normal(jax.random.key(0), (3, 5, 4))
  plain = _sums(logits_BxTxV, TOKEN_BxT, WEIGHT_BxT)
  weight_BxT = WEIGHT_BxT.at[:, 0].set(1)
  assert _sums(logits_BxTxV, TOKEN_BxT, weight_BxT) == plain


class _Logits:
  """A model whose parameters are its logits."""

  vocab_size = 4

  def hidden(self, params, token_BxT):
    return params + 0 * token_BxT[..., None].astype(params.dtype)

  def logits(self, params, x_BxTxV):
    return x_BxTxV


def test_bfloat16_logits_are_summed_in_float32():
  batch = {'token_BxT': TOKEN_BxT, 'weight_BxT': WEIGHT_BxT}
  logits_BxTxV = jnp.zeros((3, 5, 4), jnp.bfloat16)
  measure = jax.jit(functools.partial(loss.next_token, _Logits()))
  sums = measure(logits_BxTxV, (), batch, None)
  assert {x.dtype for x in sums.values()} == {jnp.dtype('float32')}
  np.testing.assert_allclose(sums['loss'], 5 * math.log(4), rtol=1e-6)
  assert sums['weight'] == 5


def test_a_batch_without_targets_is_zero_not_nan():
  logits_BxTxV = jax.random.normal(jax.random.key(0), (3, 5, 4))
  nats, accuracy = _loss(logits_BxTxV, jnp.zeros_like(WEIGHT_BxT))
  assert (nats, accuracy) == (0, 0)


def test_logits_of_few_tokens_at_a_time_give_the_same(monkeypatch):
  batch = {'token_BxT': TOKEN_BxT, 'weight_BxT': WEIGHT_BxT}
  logits_BxTxV = jax.random.normal(jax.random.key(0), (3, 5, 4))
  seen = []

  class Model(_Logits):
    def logits(self, params, x_BxTxV):
      seen.append(x_BxTxV.shape)
      return x_BxTxV

  def measure(logits_BxTxV):
    sums = loss.next_token(Model(), logits_BxTxV, (), batch, None)
    return sums['loss'], sums

  whole = jax.grad(measure, has_aux=True)(logits_BxTxV)
  assert set(seen) == {(3, 5, 4)}
  seen.clear()
  monkeypatch.setattr(loss, '_LOGITS', 4 * 3 * 4 * 2)  # Of two tokens.
  parts = jax.grad(measure, has_aux=True)(logits_BxTxV)
  assert set(seen) == {(3, 2, 4)}
  close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7)
  jax.tree.map(close, parts, whole)
