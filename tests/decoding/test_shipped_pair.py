"""The pair that ships: strict at temperature 0 is the verifier alone."""

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


@pytest.mark.slow
@pytest.mark.usefixtures('optimised')
def test_strict_at_temperature_0_is_the_verifier_alone():
  pair, task = pairs.load('word_problems'), word_problems.task()
  N = task.max_new_tokens
  prompts = [e.prompt for e in task.examples('test', COUNT)]
  token_PxS, length_P = tokenizer.encode_prompts(
    pair.tokenizer, prompts, max_length=256
  )
  token_PxS = token_PxS[:, : length_P.max()]
  sampling = probabilities.Sampling(np.zeros(ROWS), np.ones(ROWS))

  def decode(method, batch, gamma=None):
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

  calls = tokens = 0
  for start in range(0, COUNT, ROWS):
    rows = slice(start, start + ROWS)
    batch = results.Prompts(
      token_PxS[rows], length_P[rows], np.arange(COUNT)[rows]
    )
    alone = decode(methods.VERIFIER_ALONE, batch)
    strict = decode(methods.STRICT, batch, GAMMA)
    np.testing.assert_array_equal(strict.token_BxN, alone.token_BxN)
    np.testing.assert_array_equal(strict.length_B, alone.length_B)
    calls += strict.counts.verifier_calls_B.sum()
    tokens += strict.length_B.sum()
  # The last batch at another draft length: replayed, as a sweep does, and
  # decoded.
  short = decode(methods.STRICT, batch, 2)
  for row, n in enumerate(strict.length_B):
    np.testing.assert_array_equal(
      replay.accepted_lengths(strict.from_drafter_BxN[row, :n], 2),
      short.counts.accepted_lengths_BxA[row],
    )
  assert tokens > 10 * COUNT  # Real answers,
  assert tokens > 2 * calls  # and a drafter that is of use.
