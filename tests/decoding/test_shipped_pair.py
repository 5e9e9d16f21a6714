"""The pair that ships: strict at temperature 0 is the verifier alone."""

import functools

import jax
import numpy as np
import pytest

from speccascade import methods, pairs
from speccascade import tokenizers as tokenizer
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import replay, results, schedules
from speccascade.sampling import keys, probabilities
from speccascade.tasks.synthetic.word_problems import generated as word_problems

COUNT, ROWS, GAMMA = 48, 24, 5


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('optimised')]


@functools.cache
def _loaded():
  """(pair, most new tokens, PxS prompts, length_P)."""
  pair, task = pairs.load('word_problems'), word_problems.task()
  prompts = [e.prompt for e in task.examples('test', COUNT)]
  token_PxS, length_P = tokenizer.encode_prompts(
    pair.tokenizer, prompts, max_length=256
  )
  return pair, task.max_new_tokens, token_PxS[:, : length_P.max()], length_P


def _decode(method, start, gamma=None):
  """The answers to ROWS prompts from one on, at temperature 0."""
  pair, N, token_PxS, length_P = _loaded()
  rows = slice(start, start + ROWS)
  batch = results.Prompts(
    token_PxS[rows], length_P[rows], np.arange(COUNT)[rows]
  )
  sampling = probabilities.Sampling(np.zeros(ROWS), np.ones(ROWS))
  request = results.Request(batch, sampling, ((),), keys.make(0))
  result = methods.decode(
    (pair.drafter, pair.verifier),
    pair.params,
    (loop_lib.Group(method, ROWS),),
    request,
    None if gamma is None else schedules.Plan(gamma),
    N,
    pair.eos_ids,
  )
  return jax.device_get(result)


def test_strict_at_temperature_0_is_the_verifier_alone():
  calls = tokens = 0
  for start in range(0, COUNT, ROWS):
    alone = _decode(methods.VERIFIER_ALONE, start)
    strict = _decode(methods.STRICT, start, GAMMA)
    np.testing.assert_array_equal(strict.token_BxN, alone.token_BxN)
    np.testing.assert_array_equal(strict.length_B, alone.length_B)
    calls += strict.counts.verifier_calls_B.sum()
    tokens += strict.length_B.sum()
  assert tokens > 10 * COUNT  # Real answers,
  assert tokens > 2 * calls  # and a drafter that is of use.


@pytest.mark.thorough
def test_another_draft_length_is_replayed_as_it_is_decoded():
  strict, short = (_decode(methods.STRICT, 0, gamma) for gamma in (GAMMA, 2))
  for row, n in enumerate(strict.length_B):
    np.testing.assert_array_equal(
      replay.accepted_lengths(strict.from_drafter_BxN[row, :n], 2),
      short.counts.accepted_lengths_BxA[row],
    )
