"""Losses against their definitions, and what an objective computes them on."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance

from speccascade.training import answers, distillation, loss

B, T, V = 3, 5, 7


class _Logits:
  """A model whose parameters are its logits."""

  vocab_size = V

  def hidden(self, params, token_BxT):
    return params + 0 * token_BxT[..., None]

  def logits(self, params, x_BxTxV):
    return x_BxTxV


def _logits(seed, scale=3.0):
  return jax.random.normal(jax.random.key(seed), (B, T, V)) * scale


@functools.partial(jax.jit, static_argnums=0)
def _value(name, p_logits, q_logits, target_BxT=None):
  if target_BxT is None:
    target_BxT = jnp.zeros(q_logits.shape[:2], jnp.int32)
  return distillation.LOSSES[name](
    jax.nn.log_softmax(p_logits), jax.nn.log_softmax(q_logits), target_BxT
  )


def _softmax(logits):
  weight = np.exp(np.asarray(logits, np.float64))
  return weight / weight.sum(-1, keepdims=True)


def _kl(p, q):
  return (p * np.log(p / q)).sum(-1)


def _jsd(p, q, beta=0.5):
  m = beta * p + (1 - beta) * q
  return beta * _kl(p, m) + (1 - beta) * _kl(q, m)


DEFINITIONS = {
  'forward_kl': _kl,
  'reverse_kl': lambda p, q: _kl(q, p),
  'jsd': _jsd,
  'total_variation': lambda p, q: 0.5 * abs(p - q).sum(-1),
}


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    # p = (1/2, 1/4, 1/4), q = (1/8, 1/8, 3/4).
    ('forward_kl', (0.5 * 2 + 0.25 * 1 - 0.25 * math.log2(3)) * math.log(2)),
    ('reverse_kl', (-0.25 - 0.125 + 0.75 * math.log2(3)) * math.log(2)),
    ('jsd', distance.jensenshannon((4, 2, 2), (1, 1, 6)) ** 2),
    ('total_variation', 0.5),
    ('cross_entropy', math.log(8)),
  ],
)  # fmt: skip
def test_losses_by_hand(name, expected):
  p_logits = jnp.log(jnp.array([[[0.5, 0.25, 0.25]]])) + 4
  q_logits = jnp.log(jnp.array([[[1 / 8, 1 / 8, 3 / 4]]])) - 3
  target_BxT = jnp.array([[1]])
  got = _value(name, p_logits, q_logits, target_BxT)
  np.testing.assert_allclose(got, [[expected]], rtol=1e-5)


@pytest.mark.parametrize('name', DEFINITIONS)
def test_losses_equal_their_definitions_in_float64(name):
  p_logits, q_logits = _logits(0), _logits(1)
  expected = DEFINITIONS[name](_softmax(p_logits), _softmax(q_logits))
  np.testing.assert_allclose(
    _value(name, p_logits, q_logits), expected, rtol=1e-4
  )


@pytest.mark.parametrize('beta', [0.1, 0.9])
def test_generalised_jsd_equals_its_definition_in_float64(beta):
  p_logits, q_logits = _logits(0), _logits(1)
  got = distillation.generalised_jsd(beta)(
    jax.nn.log_softmax(p_logits), jax.nn.log_softmax(q_logits), None
  )
  expected = _jsd(_softmax(p_logits), _softmax(q_logits), beta)
  np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize('name', DEFINITIONS)
def test_gradients_vanish_where_q_is_p_and_nowhere_else(name):
  gradient = jax.jit(jax.grad(lambda q, p: _value(name, p, q).sum()))
  p_logits = _logits(0)
  np.testing.assert_allclose(gradient(p_logits, p_logits), 0, atol=1e-6)
  # A descent step from elsewhere comes nearer.
  q_logits = _logits(1, scale=1.0)
  step = q_logits - 0.1 * gradient(q_logits, p_logits)
  assert (_value(name, p_logits, step) < _value(name, p_logits, q_logits)).all()


@pytest.mark.parametrize('name', distillation.LOSSES)
def test_certain_and_contrary_models_give_finite_losses_and_gradients(name):
  p_logits = jnp.zeros((1, 1, V)).at[..., 0].set(500.0)
  q_logits = jnp.zeros((1, 1, V)).at[..., 1].set(500.0)
  value, gradient = jax.jit(
    jax.value_and_grad(lambda q: _value(name, p_logits, q).sum())
  )(q_logits)
  expected = dict.fromkeys(('forward_kl', 'reverse_kl', 'cross_entropy'), 500)
  expected |= {'jsd': math.log(2), 'total_variation': 1}
  np.testing.assert_allclose(value, expected.get(name, value), rtol=1e-5)
  assert value > 0
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()


# Prompts of 2, 1 and 1 tokens, targets of 2, 3 and 1.
BATCH = {
  'token_BxT': jnp.array([[2, 3, 5, 1, 0], [2, 3, 4, 1, 0], [2, 1, 0, 0, 0]]),
  'weight_BxT': jnp.array(
    [[0, 0, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0]], jnp.uint8
  ),
}


def _targets_of(name):
  return distillation.objective(_Logits(), name, 'targets', 4, (1,))


@pytest.mark.parametrize('name', distillation.LOSSES)
def test_sums_are_over_the_positions_before_target_tokens(name):
  p_logits, q_logits = _logits(0), _logits(1)
  sums = jax.jit(functools.partial(_targets_of(name), _Logits()))(
    q_logits, p_logits, BATCH, jax.random.key(0)
  )
  p_BxTxV, q_BxTxV = _softmax(p_logits), _softmax(q_logits)
  next_BxT = jnp.roll(BATCH['token_BxT'], -1, axis=1)
  value_BxT = _value(name, p_logits, q_logits, next_BxT)
  loss_sum = accepted = 0.0
  for b, t in ((0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)):
    loss_sum += value_BxT[b, t]
    accepted += np.minimum(p_BxTxV[b, t], q_BxTxV[b, t]).sum()
  np.testing.assert_allclose(sums['loss'], loss_sum, rtol=1e-5)
  np.testing.assert_allclose(sums['acceptance'], accepted, rtol=1e-5)
  assert sums['weight'] == 6


def test_only_the_drafter_before_target_tokens_has_a_gradient():
  def mean(q_logits, p_logits):
    objective = _targets_of('reverse_kl')
    sums = objective(_Logits(), q_logits, p_logits, BATCH, None)
    return loss.mean(sums)['loss']

  by_q, by_p = jax.jit(jax.grad(mean, (0, 1)))(_logits(1), _logits(0))
  predicts_BxT = np.zeros((B, T), bool)
  predicts_BxT[:, :-1] = BATCH['weight_BxT'][:, 1:]
  np.testing.assert_array_equal(np.any(by_q != 0, axis=-1), predicts_BxT)
  np.testing.assert_array_equal(by_p, 0)


@pytest.mark.parametrize('samples', distillation.SAMPLES)
def test_losses_are_on_the_text_of_whom_samples_names(monkeypatch, samples):
  verifier, drafter = _Logits(), _Logits()
  # One token more each, so that the text tells who wrote it.
  texts = {
    'targets': BATCH['weight_BxT'],
    'verifier': BATCH['weight_BxT'].at[2, 2].set(1),
    'drafter': BATCH['weight_BxT'].at[2, 2:4].set(1),
  }

  def sample(model, params, batch, max_new_tokens, eos_ids, key):
    whose = {id(verifier): 'verifier', id(drafter): 'drafter'}[id(model)]
    assert params.sum() == {'verifier': 0, 'drafter': B * T * V}[whose]
    assert (max_new_tokens, eos_ids, key) == (4, (1,), 'key')
    return batch | {'weight_BxT': texts[whose]}

  monkeypatch.setattr(answers, 'sample', sample)
  objective = distillation.objective(verifier, 'jsd', samples, 4, (1,))
  logits = jnp.ones((B, T, V)), jnp.zeros((B, T, V))
  sums = objective(drafter, *logits, BATCH, 'key')
  assert sums['weight'] == texts[samples].sum()
  # Measuring takes the batch as it is.
  sums = objective(drafter, *logits, BATCH, None)
  assert sums['weight'] == texts['targets'].sum()
