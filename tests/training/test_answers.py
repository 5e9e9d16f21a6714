"""Answers drawn within a step: whose they are and where they stand."""

import functools

import jax
import numpy as np
import pytest

from speccascade.decoding import autoregressive, results
from speccascade.sampling import probabilities
from speccascade.training import answers, data
from tests.training import stand_ins, sums

ROWS = 6
GEMMA = stand_ins.model()
T5 = stand_ins.model('t5', embed_dim=16, head_dim=8, hidden_dim=32)


# Tokens of an answer asked for, and had: T5's rows have no room for more.
ASKED, N = {GEMMA: 5, T5: 80}, {GEMMA: 5, T5: 8}


@functools.cache
def _examples(model):
  lengths = {'length': 13} if model is GEMMA else {'length': 9}
  if model is T5:
    lengths['input_length'] = 8
  return data.tokenize(sums.Sums(), sums.Characters(), 'train', ROWS, **lengths)


@functools.cache
def _params(model, seed=0):
  return stand_ins.params(model, seed, scale=0.1)


@functools.cache
def _sampler(model):
  return jax.jit(
    lambda params, batch, key: answers.sample(
      model, params, batch, ASKED[model], (1,), key
    )
  )


def _sample(model, params_seed=0, key_seed=0):
  batch = _examples(model).rows(np.arange(ROWS))
  key = jax.random.key(key_seed)
  return jax.device_get(
    _sampler(model)(_params(model, params_seed), batch, key)
  )


def _decode(model, params_seed=0):
  """The same rows by the decoder, from prompts made anew."""
  examples = [sums.Sums().example('train', i) for i in range(ROWS)]
  prompts = [sums.Characters().prompt(e.prompt) for e in examples]
  token_PxS = np.zeros((ROWS, 8), np.int32)
  for row, prompt in enumerate(prompts):
    token_PxS[row, : len(prompt)] = prompt
  length_P = np.array([len(x) for x in prompts])
  result = autoregressive.decode(
    autoregressive.Autoregressive(model, N[model], (1,)),
    _params(model, params_seed),
    results.Prompts(token_PxS, length_P, np.arange(ROWS)),
    probabilities.Sampling(np.ones(ROWS), np.ones(ROWS)),
    jax.random.key(0),
  )
  return prompts, jax.device_get(result)


@pytest.mark.parametrize('model', [GEMMA, T5], ids=['gemma', 't5'])
def test_rows_are_what_precedes_the_target_and_the_model_s_own_answer(model):
  batch = _sample(model)
  T = batch['token_BxT'].shape[1]
  prompts, result = _decode(model)
  assert set(result.length_B) > {N[model]}  # Some end, some are cut.
  for row, prompt in enumerate(prompts):
    before = [0] if model is T5 else prompt  # T5's start token is padding.
    answer = result.token_BxN[row, : result.length_B[row]].tolist()
    rest = T - len(before) - len(answer)
    np.testing.assert_array_equal(
      batch['token_BxT'][row], before + answer + [0] * rest
    )
    np.testing.assert_array_equal(
      batch['weight_BxT'][row],
      [0] * len(before) + [1] * len(answer) + [0] * rest,
    )
  if model is T5:
    np.testing.assert_array_equal(
      batch['input_BxS'], _examples(model).input_ExS
    )


def test_answers_are_of_the_parameters_and_the_key_given():
  first = _sample(GEMMA)['token_BxT']
  np.testing.assert_array_equal(_sample(GEMMA)['token_BxT'], first)
  assert (_sample(GEMMA, params_seed=1)['token_BxT'] != first).any()
  assert (_sample(GEMMA, key_seed=1)['token_BxT'] != first).any()


def test_a_row_s_answer_is_its_own_whatever_stands_in_the_target():
  batch = _examples(GEMMA).rows(np.arange(ROWS))
  before = batch['weight_BxT'].cumsum(axis=1) == 0
  other = batch | {
    'token_BxT': np.where(before, batch['token_BxT'], np.int16(9))
  }
  got = _sampler(GEMMA)(_params(GEMMA), other, jax.random.key(0))
  np.testing.assert_array_equal(got['token_BxT'], _sample(GEMMA)['token_BxT'])


def test_a_row_without_room_for_an_answer_is_one_line():
  examples = _examples(GEMMA)  # The longest prompts have 6 tokens.
  answers.check(examples, 7)
  with pytest.raises(
    ValueError,
    match='length=13 must be at least 14: example . has 6 tokens before its '
    'target and an answer up to 8',
  ):
    answers.check(examples, 8)
  answers.check(_examples(T5), 80)
