"""The cascade over whole answers, against both models alone."""

import functools

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import results
from speccascade.methods import sequence_cascade
from speccascade.sampling import probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

MODELS = tiny.DRAFTER, tiny.VERIFIER
QUANTILES = {
  name: method.quantile
  for name, method in methods.METHODS.items()
  if isinstance(method, sequence_cascade.SequenceCascade)
}


def _run(method, values=()):
  asked = tiny.request((method.name,)).replace(values=(values,))
  return jax.device_get(
    method.decode(MODELS, tiny.params(), asked, tiny.N, (tiny.EOS,))
  )


def _decode(alpha_B, name='sequence_mean'):
  return _run(methods.get(name), (alpha_B,))


@functools.cache
def _alone(i):
  return _run((methods.DRAFTER_ALONE, methods.VERIFIER_ALONE)[i])


def test_log_probabilities_are_those_of_an_uncached_pass():
  result, prompts = _alone(0), tiny.prompts()
  forward = jax.jit(tiny.DRAFTER.forward)
  for b in range(tiny.ROWS):
    n, m = prompts.length_P[b], result.length_B[b]
    token_T = np.zeros(tiny.S + tiny.N, int)
    token_T[:n] = prompts.token_PxS[b, :n]
    token_T[n : n + m] = result.token_BxN[b, :m]
    logits = forward(tiny.params()[0], token_T[None])
    raw = np.asarray(probabilities.raw(logits))[0]
    want = np.log(raw[np.arange(n - 1, n + m - 1), token_T[n : n + m]])
    np.testing.assert_allclose(
      result.log_prob_BxN[b, :m], want, rtol=0, atol=1e-11
    )
    assert (result.log_prob_BxN[b, m:] == 0).all()


def _confidence(quantile):
  result, values = _alone(0), []
  for b, n in enumerate(result.length_B):
    log_prob = np.sort(result.log_prob_BxN[b, :n])
    values.append(
      log_prob.mean()
      if quantile is None
      else log_prob[int(np.round(quantile * (n - 1)))]
    )
  return np.exp(values)


@pytest.mark.parametrize('name', ['sequence_mean', 'sequence_q10'])
def test_the_unsure_half_is_the_verifier_s(name):
  confidence = _confidence(QUANTILES[name])
  alpha_B = np.full(tiny.ROWS, 1 - np.median(confidence))
  result = _decode(alpha_B, name)
  sure = confidence >= 1 - alpha_B
  assert 0 < sure.sum() < tiny.ROWS
  for b in range(tiny.ROWS):
    own = _alone(0 if sure[b] else 1)
    np.testing.assert_array_equal(result.token_BxN[b], own.token_BxN[b])
    length = own.length_B[b]
    assert result.length_B[b] == length
    np.testing.assert_array_equal(
      result.from_drafter_BxN[b], sure[b] & (np.arange(tiny.N) < length)
    )
    counts = tiny.row(result.counts, b)
    assert counts.verifier_calls_B == (0 if sure[b] else length)
    assert counts.drafter_steps_B == _alone(0).length_B[b]
    assert counts.accepted_B + counts.rejected_B == length


@pytest.mark.parametrize(('alpha', 'model'), [(0.0, 1), (1.0, 0)])
def test_the_ends_are_the_models_alone(alpha, model):
  result = _decode(np.full(tiny.ROWS, alpha))
  np.testing.assert_array_equal(result.token_BxN, _alone(model).token_BxN)


def test_quantiles_are_those_of_the_names():
  assert QUANTILES == {
    'sequence_mean': None,
    'sequence_min': 0,
    'sequence_q10': 0.1,
    'sequence_median': 0.5,
  }
  for quantile in QUANTILES.values():  # On ragged answers.
    np.testing.assert_allclose(
      sequence_cascade.confidence(_alone(0), quantile),
      _confidence(quantile),
      rtol=1e-12,
    )


def test_confidence_by_hand():
  result = results.Result(
    token_BxN=None,
    length_B=np.array([3, 1, 2]),
    log_prob_BxN=np.log([[0.5, 0.125, 0.25], [0.5, 1, 1], [0.2, 0.8, 1]]),
  )
  for quantile, want in (
    (None, [0.25, 0.5, 0.4]),
    (0.0, [0.125, 0.5, 0.2]),
    (0.5, [0.25, 0.5, 0.2]),
    (1.0, [0.5, 0.5, 0.8]),
  ):
    np.testing.assert_allclose(
      sequence_cascade.confidence(result, quantile), want, rtol=1e-12
    )
