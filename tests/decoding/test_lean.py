"""What is not asked for is not held: a second q, D_TV."""

import re

import jax
import numpy as np
import pytest

from speccascade.decoding import checks
from speccascade.decoding import loop as loop_lib
from speccascade.sampling import probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_GAMMA = 3


def _asked(asked):
  request = tiny.request(tiny.FORMS, temperature=1)
  ones_B = np.ones_like(request.sampling.top_p_B)
  return request.replace(
    sampling=probabilities.Sampling(ones_B, ones_B, asked=asked)
  )


def _decoded(asked, **changes):
  loop = tiny.make_loop(_GAMMA, observe=None, **changes)
  return jax.device_get(loop_lib.decode(loop, tiny.params(), _asked(asked)))


def test_plain_sampling_and_no_divergence_change_no_token():
  want = _decoded(probabilities.ANY)
  got = _decoded(probabilities.PLAIN, divergences=False)
  assert got.counts.divergence_B is None
  assert got.counts.deferred_B is None
  assert want.counts.divergence_B.sum() > 0
  counts = want.counts.replace(divergence_B=None, deferred_B=None)
  jax.tree.map(np.testing.assert_array_equal, got, want.replace(counts=counts))


@pytest.mark.parametrize(
  ('asked', 'buffers'),
  [(probabilities.TEMPERED, 2), (probabilities.PLAIN, 1)],
)
def test_drafts_hold_one_distribution_where_sampling_is_plain(asked, buffers):
  request = _asked(asked)
  loop = tiny.make_loop(_GAMMA, observe=None)
  text = loop_lib.lower(loop, tiny.params(), request).as_text()
  B = request.prompts.rows
  q_GxBxV = f'tensor<{_GAMMA + 1}x{B}x{tiny.DRAFTER.vocab_size}xf64>'
  loops = re.findall(r'stablehlo\.while\(.*', text)
  held = [line.count(q_GxBxV) for line in loops]
  assert max(held) == buffers


@pytest.mark.parametrize(
  ('temperature', 'top_p', 'top_k'), [(0.5, 1, 0), (1, 0.9, 0), (1, 1, 2)]
)
def test_sampling_that_is_not_plain_is_refused(temperature, top_p, top_k):
  row = lambda x: np.array([1.0, x, 1.0])  # noqa: E731
  asked = row(temperature), row(top_p), top_k
  assert not probabilities.of_rows(*asked).plain
  checks.check_sampling(probabilities.of_rows(*asked), 3)
  with pytest.raises(ValueError, match='sampling is not plain: rows ask'):
    checks.check_sampling(_known(probabilities.PLAIN, *asked), 3)


def _known(of, *asked):
  return probabilities.Sampling(*asked, asked=of)


def test_top_p_is_refused_where_none_was_asked_for():
  one_B, top_p_B = np.ones(3), np.array([1.0, 0.9, 1.0])
  checks.check_sampling(_known(probabilities.ANY, one_B, top_p_B), 3)
  with pytest.raises(ValueError, match='is not tempered: rows ask for any'):
    checks.check_sampling(_known(probabilities.TEMPERED, one_B, top_p_B), 3)


def test_rows_that_ask_for_nothing_are_plain():
  assert probabilities.of_rows(np.ones(3), np.ones(3)).plain


def test_what_is_known_of_rows_is_the_least_that_holds_them():
  of = probabilities.asked
  assert of([1, 1], 1) == probabilities.PLAIN
  assert of(0.0, [0.5, 1], 3) == probabilities.BEST
  assert of([0, 1], [1, 1]) == of(1, 1, 3) == probabilities.TEMPERED
  assert of([0, 1], [1, 0.9]) == probabilities.ANY
  for found, holds in probabilities.HOLDS.items():
    assert found in holds
    assert probabilities.ANY in holds


def test_the_best_token_is_of_no_softmax():
  logits_BxTxV = np.random.default_rng(0).normal(size=(3, 2, 8))
  logits_BxTxV[1] = 4.0  # All alike: the first.
  zero_B, top_p_B = np.zeros(3), np.array([1.0, 0.5, 1.0])
  told = [
    probabilities.sampled(
      logits_BxTxV,
      jax.nn.softmax(logits_BxTxV) if asked == probabilities.ANY else None,
      probabilities.Sampling(zero_B, top_p_B, 2, asked),
    )
    for asked in (probabilities.ANY, probabilities.BEST)
  ]
  np.testing.assert_array_equal(*told)
  assert (told[1][1].argmax(-1) == 0).all()


def test_a_row_at_temperature_1_has_the_same_bits_beside_others():
  logits_BxTxV = np.random.default_rng(0).normal(size=(3, 2, 999))
  raw_BxTxV, ones_B = jax.nn.softmax(logits_BxTxV), np.ones(3)
  for others in (0.0, 0.7):
    sampling = probabilities.of_rows(np.array([others, 1, others]), ones_B)
    probs_BxTxV = probabilities.sampled(logits_BxTxV, raw_BxTxV, sampling)
    np.testing.assert_array_equal(probs_BxTxV[1], raw_BxTxV[1])


@pytest.mark.parametrize('top_k', [0, 3])
def test_no_step_is_chosen_while_decoding_unless_top_p_is_asked_for(top_k):
  mixed_B, one_B = np.array([0.0, 0.5, 1.0, 0.3]), np.ones(4)
  logits_BxTxV = np.random.default_rng(0).normal(size=(4, 3, 8))

  def of(asked):
    sampling = probabilities.Sampling(mixed_B, one_B, top_k, asked)
    made = jax.jit(probabilities.sampled)
    given = logits_BxTxV, jax.nn.softmax(logits_BxTxV), sampling
    return made(*given), made.lower(*given).as_text().count('stablehlo.case')

  want, choices = of(probabilities.ANY)
  got, none = of(probabilities.TEMPERED)
  assert choices >= 1 > none
  np.testing.assert_array_equal(got, want)
