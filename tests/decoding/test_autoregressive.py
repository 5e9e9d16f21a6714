"""Either model alone, against the cascade and against uncached passes."""

import functools

import jax
import numpy as np
import pytest

from speccascade.decoding import autoregressive
from speccascade.sampling import draws, keys, probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')


@functools.cache
def _decode(role, temperature=None):
  model = (tiny.DRAFTER, tiny.VERIFIER)[role]
  return jax.device_get(
    autoregressive.decode(
      autoregressive.Autoregressive(model, tiny.N, (tiny.EOS,)),
      tiny.params()[role],
      tiny.prompts(),
      tiny.sampling(temperature),
      keys.make(tiny.SEED),
    )
  )


def _assert_same_tokens(a, b):
  np.testing.assert_array_equal(a.token_BxN, b.token_BxN)
  np.testing.assert_array_equal(a.length_B, b.length_B)


def test_the_rule_drafter_is_the_drafter_alone():
  _assert_same_tokens(_decode(0), tiny.decode('drafter', 3))


@pytest.mark.thorough
def test_strict_at_temperature_0_is_the_verifier_alone():
  verifier = _decode(1, 0)
  for gamma in tiny.GAMMAS:
    _assert_same_tokens(verifier, tiny.decode('strict', gamma, 0))
  drafter = _decode(0, 0)
  assert (verifier.token_BxN != drafter.token_BxN).any(1).sum() > 4


def test_tokens_are_draws_from_the_uncached_pass():
  result, prompts, sampling = _decode(1), tiny.prompts(), tiny.sampling()
  u = keys.uniforms(
    keys.row_keys(keys.make(tiny.SEED), prompts.example_P), tiny.N
  )[..., keys.DRAFT]
  token_BxT = np.zeros((tiny.ROWS, tiny.S + tiny.N), int)
  for b, n in enumerate(prompts.length_P):
    token_BxT[b, :n] = prompts.token_PxS[b, :n]
    token_BxT[b, n : n + tiny.N] = result.token_BxN[b]
  logits = jax.jit(tiny.VERIFIER.forward)(tiny.params()[1], token_BxT)
  probs = jax.jit(probabilities.sampled)(
    logits, probabilities.raw(logits), sampling
  )
  for b, (n, length) in enumerate(
    zip(prompts.length_P, result.length_B, strict=True)
  ):
    after = probs[b, n - 1 : n - 1 + tiny.N]
    want = np.asarray(draws.draw(after, u[b]))
    np.testing.assert_array_equal(result.token_BxN[b, :length], want[:length])
    assert (result.token_BxN[b, length:] == 0).all()
    ends = np.flatnonzero(want == tiny.EOS)
    assert length == (ends[0] + 1 if len(ends) else tiny.N)
  assert (result.length_B < tiny.N).any()
  assert (result.length_B == tiny.N).any()
