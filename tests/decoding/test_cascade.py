"""One seed, one output: whatever the draft length, batch or devices."""

import functools

import jax
import numpy as np
import pytest
import tiny

from speccascade import distributions, rules, sharding
from speccascade.decoding import cascade, replay, results

pytestmark = pytest.mark.usefixtures('float64')

NAMES = tuple(rules.RULES)


# --- Against the sequential sampler, from uncached forward passes.


@jax.jit
def _sequential(rule, q_logits, p_logits, sampling, alpha_B, u_BxNx3):
  """What a token at a time emits after each prefix: (tokens, kept, D_TV)."""
  q_raw, p_raw = distributions.raw(q_logits), distributions.raw(p_logits)
  q = distributions.probabilities(q_logits, q_raw, sampling)
  p = distributions.probabilities(p_logits, p_raw, sampling)
  pi = jax.lax.switch(
    rule, list(rules.RULES.values()), q, p, q_raw, p_raw, alpha_B[:, None]
  )
  drafted = distributions.draw(q, u_BxNx3[..., 0])
  kept = distributions.accepts(drafted, u_BxNx3[..., 1], pi, q)
  redrawn = distributions.draw(distributions.residual(pi, q), u_BxNx3[..., 2])
  token = jax.numpy.where(kept, drafted, redrawn)
  return token, kept, rules.total_variation(pi, q)


def _logits_after(model, params, prompts, token_BxN):
  """The model's logits at each output position, given all before it."""
  rows = []
  for b, n in enumerate(prompts.length_P):
    rows.append(np.zeros(tiny.S + tiny.N, np.int32))
    rows[b][:n] = prompts.token_PxS[b, :n]
    rows[b][n : n + tiny.N] = token_BxN[b]
  logits = np.asarray(_forward(model, params, np.stack(rows)))
  first_P = prompts.length_P - 1
  at_PxN = first_P[:, None] + np.arange(tiny.N)
  return np.take_along_axis(logits, at_PxN[..., None], 1)


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, token_BxT):
  return model.forward(params, token_BxT)


@pytest.mark.parametrize('name', NAMES)
def test_tokens_are_the_sequential_sampler_s(name):
  result, prompts = tiny.decode(name, 3), tiny.prompts()
  q_logits, p_logits = (
    _logits_after(model, tiny.params()[i], prompts, result.token_BxN)
    for i, model in enumerate((tiny.DRAFTER, tiny.VERIFIER))
  )
  u_BxNx3 = distributions.uniforms(
    distributions.row_keys(jax.random.key(0), prompts.example_P),
    np.tile(np.arange(tiny.N), (tiny.ROWS, 1)),
  )
  token_BxN, kept_BxN, divergence_BxN = jax.device_get(
    _sequential(
      NAMES.index(name),
      q_logits,
      p_logits,
      tiny.sampling(),
      tiny.alphas(name),
      u_BxNx3,
    )
  )
  for b in range(tiny.ROWS):
    ends = np.flatnonzero(token_BxN[b] == tiny.EOS)
    n = ends[0] + 1 if len(ends) else tiny.N
    assert result.length_B[b] == n
    np.testing.assert_array_equal(result.token_BxN[b, :n], token_BxN[b, :n])
    assert (result.token_BxN[b, n:] == 0).all()
    kept, divergence = kept_BxN[b, :n], divergence_BxN[b, :n]
    np.testing.assert_array_equal(result.from_drafter_BxN[b, :n], kept)
    assert not result.from_drafter_BxN[b, n:].any()
    counts = tiny.row(result.counts, b)
    assert counts.accepted_B == kept.sum()
    assert counts.rejected_B == n - kept.sum()
    assert counts.deferred_B == (divergence > 1e-9).sum()
    np.testing.assert_allclose(counts.divergence_B, divergence.sum(), atol=1e-9)


def test_the_batch_has_rows_of_every_kind():
  """Else the tests here would pass for want of cases."""
  by_drafter = set()
  for name in NAMES:
    result = tiny.decode(name, 3)
    ended = result.token_BxN == tiny.EOS
    by_drafter |= set(result.from_drafter_BxN[ended].tolist())
    early = result.length_B < tiny.N
    assert early.any()
    assert not early.all()
    np.testing.assert_array_equal(
      ended.any(1)[early], np.ones(early.sum(), bool)
    )
    if name != 'drafter':
      assert (result.counts.rejected_B > 0).any()
      assert (result.counts.accepted_lengths_BxG[:, -1] > 0).any()
      assert (result.counts.deferred_B > 0).any()
  assert by_drafter == {True, False}  # EOS as an accepted draft and redrawn.
  lengths = {tuple(tiny.decode(name, 3).length_B) for name in NAMES}
  tokens = {tiny.decode(name, 3).token_BxN.tobytes() for name in NAMES}
  assert len(lengths) > 4
  assert len(tokens) > 8
  # No repetition that a wrong cache would repeat as well.
  greedy = tiny.sampling().temperature_B == 0
  for row in tiny.decode('strict', 3).token_BxN[~greedy]:
    assert len(set(row.tolist())) > 2


# --- Any draft length.


@pytest.mark.parametrize('gamma', tiny.GAMMAS)
@pytest.mark.parametrize('name', NAMES)
def test_any_gamma_gives_the_same_tokens(name, gamma):
  result = tiny.decode(name, gamma)
  tiny.assert_same(result, tiny.decode(name, 0))
  _check_counts(result, gamma)
  for b in range(tiny.ROWS):
    np.testing.assert_array_equal(
      replay.accepted_lengths(
        tiny.decode(name, 1).from_drafter_BxN[b, : result.length_B[b]], gamma
      ),
      result.counts.accepted_lengths_BxG[b],
    )


def _check_counts(result, gamma):
  c = result.counts
  histogram = c.accepted_lengths_BxG
  assert histogram.shape == (tiny.ROWS, gamma + 2)
  np.testing.assert_array_equal(c.accepted_B + c.rejected_B, result.length_B)
  np.testing.assert_array_equal(histogram.sum(1), c.verifier_calls_B)
  np.testing.assert_array_equal(histogram @ np.arange(gamma + 2), c.accepted_B)
  steps = (gamma + 1) * c.verifier_calls_B
  np.testing.assert_array_equal(c.drafter_steps_B, steps)
  np.testing.assert_array_equal(c.drafted_B, steps)
  assert (c.deferred_B <= result.length_B).all()
  assert (c.divergence_B <= c.deferred_B + 1e-9).all()
  np.testing.assert_array_equal(result.from_drafter_BxN.sum(1), c.accepted_B)
  np.testing.assert_array_equal(
    result.block_efficiency_B, result.length_B / c.verifier_calls_B
  )


def test_gamma_0_calls_the_verifier_for_each_token():
  result = tiny.decode('token_v3', 0)
  np.testing.assert_array_equal(result.counts.verifier_calls_B, result.length_B)


def test_the_drafter_s_blocks_are_full():
  result = tiny.decode('drafter', 5)
  np.testing.assert_array_equal(
    result.counts.verifier_calls_B, -(-result.length_B // 6)
  )
  assert result.counts.deferred_B.sum() == 0
  assert result.counts.divergence_B.sum() == 0


def test_seeds_and_examples_differ():
  tokens = tiny.decode('strict', 3).token_BxN
  other = tiny.decode('strict', 3, seed=1).token_BxN
  greedy = tiny.sampling().temperature_B == 0
  np.testing.assert_array_equal(tokens[greedy], other[greedy])
  assert (tokens[~greedy] != other[~greedy]).any(1).all()


# --- Any batch.


@pytest.mark.parametrize('name', NAMES)
def test_a_prompt_alone_gives_what_it_gives_in_a_batch(name):
  """Also with wider padding; no count depends on how long others run."""
  together, prompts = tiny.decode(name, 3), tiny.prompts(width=12)
  for b in range(tiny.ROWS):
    alone = cascade.decode(
      tiny.make_cascade(3),
      tiny.params(),
      tiny.row(prompts, slice(b, b + 1)),
      tiny.row(tiny.sampling(), slice(b, b + 1)),
      rules.RULES[name],
      tiny.alphas(name)[b : b + 1],
      jax.random.key(0),
    )
    tiny.assert_same(
      alone, tiny.row(together, slice(b, b + 1)), gamma_free=False
    )


def test_copies_equal_rows_of_their_own():
  prompts = tiny.row(tiny.prompts(), slice(0, 4))
  copied = results.Prompts(
    prompts.token_PxS, prompts.length_P, prompts.example_P, copies=2
  )
  repeated = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), prompts)
  for name in NAMES:
    ends = [
      cascade.decode(
        tiny.make_cascade(3),
        tiny.params(),
        p,
        tiny.sampling(),
        rules.RULES[name],
        tiny.alphas(name),
        jax.random.key(0),
      )
      for p in (copied, repeated)
    ]
    tiny.assert_same(*ends, gamma_free=False)


# --- Any device layout.


def test_sharded_equals_unsharded():
  if jax.device_count() < 8:
    pytest.skip('needs 8 devices')
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  placed = tuple(
    jax.device_put(p, sharding.parameter_shardings(p, mesh))
    for p in tiny.params()
  )
  heads = placed[1]['layers_0']['global_1_attention']['query']
  assert heads.sharding.shard_shape(heads.shape) == (16, 2, 4)
  prompts = jax.device_put(
    tiny.prompts(), jax.NamedSharding(mesh, sharding.BATCH)
  )
  for name in NAMES:
    with jax.set_mesh(mesh):
      result = cascade.decode(
        tiny.make_cascade(3),
        placed,
        prompts,
        tiny.sampling(),
        rules.RULES[name],
        tiny.alphas(name),
        jax.random.key(0),
      )
    assert len(result.token_BxN.sharding.device_set) == 8
    tiny.assert_same(result, tiny.decode(name, 3), gamma_free=False)
