"""The text that no draft changes: the verifier's own, with fewer calls."""

import functools

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results
from speccascade.sampling import draws, keys, probabilities
from tests.decoding import table_model, tiny

pytestmark = pytest.mark.usefixtures('float64')

NAME = 'drafter_invariant'
V, ROWS = 6, 20_000


@functools.cache
def _alone():
  """The verifier's answers to the batch, at a setting a row."""
  request = tiny.request(('verifier_alone',))
  pair = tiny.DRAFTER, tiny.VERIFIER
  method = methods.get('verifier_alone')
  decoded = method.decode(pair, tiny.params(), request, tiny.N, (tiny.EOS,))
  return jax.device_get(decoded)


@pytest.mark.parametrize('noise', [0.1, 3.0])
@pytest.mark.parametrize('gamma', [0, 3])
def test_the_text_is_the_verifiers_alone(noise, gamma):
  """At every temperature, whatever the drafter and the draft."""
  loop = tiny.make_loop(gamma, (NAME,))
  drafter, verifier = tiny.params(noise)[0], tiny.params()[1]
  found = loop_lib.decode(loop, (drafter, verifier), tiny.request((NAME,)))
  np.testing.assert_array_equal(found.token_BxN, _alone().token_BxN)
  np.testing.assert_array_equal(found.length_B, _alone().length_B)


def test_the_ratio_test_writes_another_text_and_both_save_calls():
  own, strict = (tiny.decode(name, 3) for name in (NAME, 'strict'))
  greedy_B = tiny.sampling().temperature_B == 0
  same_B = (own.token_BxN == strict.token_BxN).all(1)
  assert same_B[greedy_B].all()
  assert not same_B[~greedy_B].all()
  for found in (own, strict):
    assert found.counts.verifier_calls_B.sum() < 0.7 * found.length_B.sum()


def _overlap(p_V, q_V):
  """What two inverse-CDF draws of one uniform have in common, by token."""
  ends_p, ends_q = np.cumsum(p_V), np.cumsum(q_V)
  starts = np.maximum(ends_p - p_V, ends_q - q_V)
  return np.maximum(np.minimum(ends_p, ends_q) - starts, 0)


def _agreement(p_V, q_V):
  """Chance of one token of two draws with the same two uniforms."""
  p, q = (np.asarray(draws.split(x)) for x in (p_V, q_V))
  within = [
    _overlap(a / a.sum(), b / b.sum()).sum() for a, b in zip(p, q, strict=True)
  ]
  return _overlap(p.sum(-1), q.sum(-1)) @ within


def test_a_draft_is_kept_where_both_draw_it():
  """Five standard deviations of a share among 20,000 rows: 6e-7."""
  tables = table_model.table(V, 2), table_model.table(V, 3)
  q_V, p_V = (np.asarray(probabilities.raw(t[2, 1])) for t in tables)
  prompts = results.Prompts(
    np.tile((2, 1), (ROWS, 1)), np.full(ROWS, 2), np.arange(ROWS)
  )
  ones = np.ones(ROWS)
  model = table_model.TableModel(V)
  groups = (loop_lib.Group(methods.get(NAME), ROWS),)
  found = loop_lib.decode(
    loop_lib.Loop(model, model, 1, 1, (-1,), groups),
    tables,
    results.Request(
      prompts, probabilities.Sampling(ones, ones), ((),), keys.make(3)
    ),
  )
  kept, least = _agreement(p_V, q_V), probabilities.total_variation(p_V, q_V)
  assert 0.1 < kept < 1 - least - 0.02  # Fewer than the ratio test keeps.
  bound = 5 * np.sqrt(kept * (1 - kept) / ROWS)
  assert abs(np.mean(found.counts.accepted_B) - kept) <= bound


def test_flat_laws_part_more_often_than_by_gumbel_noise():
  """4,096 words share the mass: docs/theory.md has the numbers."""
  rng = np.random.default_rng(0)
  logits_V = 3 * rng.normal(size=4096)
  near_V = logits_V + 0.3 * rng.normal(size=4096)
  p_V, q_V = (np.asarray(probabilities.raw(x)) for x in (logits_V, near_V))
  least = probabilities.total_variation(p_V, q_V)
  by_gumbel = (1 - least) / (1 + least)
  assert _agreement(p_V, q_V) < 0.7 * by_gumbel
