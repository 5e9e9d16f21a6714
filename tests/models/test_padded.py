"""Rows of a vocabulary that stand for no piece."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.decoding import loop as loop_lib
from speccascade.models import common, padded, split
from speccascade.sampling import probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')
PIECES, V = 29, 32


def _params():
  """Of the tiny pair; what is no piece would be drawn most of the time."""

  def loud(params):
    table_VxD = params['embedding'].copy()
    table_VxD[PIECES:] *= 8
    return params | {'embedding': table_VxD}

  return tuple(map(loud, tiny.params()))


def _decode(**pair):
  names = tiny.DRAFTING
  asked = tiny.request(names)
  prompts = asked.prompts
  prompts = prompts.replace(token_PxS=np.minimum(prompts.token_PxS, PIECES - 1))
  loop = dataclasses.replace(tiny.make_loop(3, names), **pair)
  found = loop_lib.decode(loop, _params(), asked.replace(prompts=prompts))
  return jax.device_get(found)


def _drawn(result):
  """Tokens of the answers."""
  at_N = np.arange(result.token_BxN.shape[1])
  return result.token_BxN[at_N < result.length_B[:, None]]


def test_no_method_draws_what_is_no_piece():
  """At all temperatures and top-p, and whatever the models think of it."""
  models = {
    'drafter': padded.over(tiny.DRAFTER, PIECES),
    'verifier': padded.over(tiny.VERIFIER, PIECES),
  }
  result = _decode(**models)
  assert _drawn(result).max() < PIECES
  calls_B = np.asarray(result.counts.verifier_calls_B)
  assert calls_B.sum() < result.length_B.sum()  # Drafts are accepted.
  for name, model in models.items():
    assert model.vocab_size == V
    assert model.config == getattr(tiny, name.upper()).config


def test_else_it_would_be_drawn():
  _, params = _params()
  token_BxT = jnp.array([[3, 7, 20]])
  logits_BxTxV = tiny.VERIFIER.forward(params, token_BxT)
  assert (logits_BxTxV.argmax(-1) >= PIECES).any()


@pytest.mark.parametrize('temperature', [0.0, 1e-5, 1.0, 30.0])
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_its_probability_is_none_and_the_others_follow_each_other(
  temperature, dtype
):
  model = padded.over(tiny.VERIFIER, PIECES)
  token_BxT = jnp.array([[3, 7, 20], [4, 4, 28]])
  logits_BxTxV = model.forward(_params()[1], token_BxT).astype(dtype)
  cut_BxTxP = tiny.VERIFIER.forward(_params()[1], token_BxT)[..., :PIECES]
  cut_BxTxP = cut_BxTxP.astype(dtype)
  np.testing.assert_array_equal(logits_BxTxV[..., :PIECES], cut_BxTxP)
  assert probabilities.finite(logits_BxTxV).all()
  sampling = probabilities.Sampling(
    jnp.full(2, temperature), jnp.array([1.0, 0.7])
  )

  def sampled(logits):
    raw = probabilities.raw(logits)
    return probabilities.sampled(logits, raw, sampling)

  probs_BxTxV = sampled(logits_BxTxV)
  assert not probs_BxTxV[..., PIECES:].any()
  np.testing.assert_allclose(
    probs_BxTxV[..., :PIECES], sampled(cut_BxTxP), rtol=2e-6
  )


def test_blocks_and_hidden_states_give_what_a_pass_gives():
  params, model = _params()[1], padded.over(tiny.VERIFIER, PIECES)
  token_BxT = jnp.array([[3, 7, 20], [4, 4, 28]])
  whole_BxTxV = model.forward(params, token_BxT)
  assert (whole_BxTxV[..., PIECES:] == common.MASKED).all()
  x_BxTxD = model.hidden(params, token_BxT)
  np.testing.assert_array_equal(model.logits(params, x_BxTxD), whole_BxTxV)
  cache, token_B = model.prefill(
    params, token_BxT[:, :2], jnp.array([2, 2]), new_tokens=4, block=2
  )
  block_BxT = jnp.stack([token_B, token_BxT[:, 2]], 1)
  found_BxTxV, _ = model.extend(params, cache, block_BxT)
  np.testing.assert_allclose(found_BxTxV, whole_BxTxV[:, 1:], rtol=1e-12)


def test_another_type_changes_no_pieces():
  for model in (tiny.VERIFIER, padded.over(tiny.VERIFIER, PIECES)):
    config = dataclasses.replace(model.config, dtype='float32')
    found = padded.like(split.over(model, 2), config)
    assert found.config.dtype == 'float32'
    assert padded.pieces(found) == padded.pieces(model)
    assert type(found) is type(model)


def test_a_model_without_such_rows_stays_what_it_is():
  for pieces in (V, V + 1):
    assert padded.over(tiny.VERIFIER, pieces) is tiny.VERIFIER
  twice = [padded.over(tiny.VERIFIER, PIECES) for _ in range(2)]
  assert len(set(twice)) == 1  # Of one program.
