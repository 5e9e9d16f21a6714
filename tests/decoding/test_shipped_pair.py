"""The pair that ships: strict at temperature 0 is the verifier alone."""

import jax
import numpy as np
import pytest

from speccascade import distributions, pairs, rules
from speccascade.decoding import autoregressive, cascade, replay, results
from speccascade.tasks import tokenizer, word_problems

COUNT, ROWS, GAMMA = 200, 40, 5


@pytest.mark.slow
def test_strict_at_temperature_0_is_the_verifier_alone():
  pair, task = pairs.load('word_problems'), word_problems.task()
  N, eos_id = task.max_new_tokens, tokenizer.EOS
  prompts = [e.prompt for e in task.examples('test', COUNT)]
  token_PxS, length_P = tokenizer.encode_prompts(
    pair.tokenizer, prompts, max_length=256
  )
  token_PxS = token_PxS[:, : length_P.max()]
  sampling = distributions.Sampling(np.zeros(ROWS), np.ones(ROWS))
  decoder = autoregressive.Autoregressive(pair.verifier, N, eos_id)
  both = cascade.Cascade(pair.drafter, pair.verifier, GAMMA, N, eos_id)
  calls = tokens = 0
  for start in range(0, COUNT, ROWS):
    rows = slice(start, start + ROWS)
    batch = results.Prompts(
      token_PxS[rows], length_P[rows], np.arange(COUNT)[rows]
    )
    key = jax.random.key(0)
    alone = autoregressive.decode(
      decoder, pair.verifier_params, batch, sampling, key
    )
    strict = cascade.decode(
      both, pair.params, batch, sampling, rules.strict, np.zeros(ROWS), key
    )
    np.testing.assert_array_equal(strict.token_BxN, alone.token_BxN)
    np.testing.assert_array_equal(strict.length_B, alone.length_B)
    calls += strict.counts.verifier_calls_B.sum()
    tokens += strict.length_B.sum()
  # The last batch at another draft length: replayed, as a sweep does, and
  # decoded.
  other = cascade.Cascade(pair.drafter, pair.verifier, 2, N, eos_id)
  short = cascade.decode(
    other, pair.params, batch, sampling, rules.strict, np.zeros(ROWS), key
  )
  for row, n in enumerate(strict.length_B):
    np.testing.assert_array_equal(
      replay.accepted_lengths(strict.from_drafter_BxN[row, :n], 2),
      short.counts.accepted_lengths_BxG[row],
    )
  assert tokens > 10 * COUNT  # Real answers,
  assert tokens > 2 * calls  # and a drafter that is of use.
