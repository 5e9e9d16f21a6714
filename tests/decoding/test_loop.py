"""One seed, one output: whatever the draft length, batch or devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import defer, replay, results
from speccascade.decoding import draft as draft_lib
from speccascade.decoding import loop as loop_lib
from speccascade.methods import choice, ratio
from speccascade.models.decoder import partition
from speccascade.sampling import draws, keys, probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')


# --- Against the sequential sampler, from uncached forward passes.


@jax.jit
def _sequential(q_logits, p_logits, u_BxNxU):
  """What a token at a time emits after each prefix: {name: BxN}."""
  copies = len(tiny.DRAFTING)
  asked = tiny.request(tiny.DRAFTING)
  q_raw, p_raw = probabilities.raw(q_logits), probabilities.raw(p_logits)
  q = probabilities.sampled(q_logits, q_raw, asked.sampling)
  p = probabilities.sampled(p_logits, p_raw, asked.sampling)
  rows = [
    _emitted(methods.get(name), jnp.stack(values, -1) if values else None, *x)
    for name, values, *x in zip(
      tiny.DRAFTING,
      [tuple(map(jnp.asarray, v)) for v in asked.values],
      *(jnp.split(x, copies) for x in (q, p, q_raw, p_raw, u_BxNxU)),
      strict=True,
    )
  ]
  emitted = jax.tree.map(lambda *x: jnp.concatenate(x), *rows)
  return emitted | {'best_p': p_raw.max(-1)}


def _emitted(method, values_BxK, q, p, q_raw, p_raw, u_BxNxU):
  """The method's own decision at every position, whatever came before.

  By the ratio test of a rule, written out; another method decides on blocks of
  a single draft.
  """
  B, N, V = q.shape
  drafted = draws.draw(q, u_BxNxU[..., keys.DRAFT])
  K = len(method.parameters)
  values = tuple(values_BxK[:, k, None] for k in range(K))
  if isinstance(method, ratio.Ratio):
    pi = method.rule(q, p, q_raw, p_raw, *values)
    kept = draws.accepts(drafted, u_BxNxU[..., keys.ACCEPT], pi, q)
    redrawn = draws.draw(draws.residual(pi, q), u_BxNxU[..., keys.RESIDUAL])
    token = jnp.where(kept, drafted, redrawn)
  else:
    flat = lambda x: x.reshape(B * N, 1, *x.shape[2:])  # noqa: E731
    ones = jnp.ones((B * N, 1))
    outcome = method.defer(
      draft_lib.Draft(
        flat(drafted),
        flat(q),
        flat(q_raw),
        jnp.ones(B * N, jnp.int32),
        ones,
        ones > 0,
      ),
      defer.Verified(flat(p), flat(p_raw)),
      tuple(jnp.broadcast_to(x, (B, N)).ravel() for x in values),
      flat(u_BxNxU),
    )
    token = outcome.token_BxG.reshape(B, N)
    kept = outcome.kept_B.reshape(B, N) > 0
    pi = outcome.pi_BxGxV.reshape(B, N, V)
  divergence = probabilities.total_variation(pi, q)
  return {'token': token, 'kept': kept, 'divergence': divergence}


def _logits_after(model, params, token_BxN):
  """The model's logits at each output position, given all before it."""
  prompts = tiny.prompts(copies=len(tiny.DRAFTING))
  length_B = np.tile(prompts.length_P, prompts.copies)
  prompt_BxS = np.tile(prompts.token_PxS, (prompts.copies, 1))
  token_BxT = np.zeros((len(length_B), tiny.S + tiny.N), np.int32)
  for b, n in enumerate(length_B):
    token_BxT[b, :n] = prompt_BxS[b, :n]
    token_BxT[b, n : n + tiny.N] = token_BxN[b]
  logits = np.asarray(_forward(model, params, token_BxT))
  at_BxN = length_B[:, None] - 1 + np.arange(tiny.N)
  return np.take_along_axis(logits, at_BxN[..., None], 1)


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, token_BxT):
  return model.forward(params, token_BxT)


@functools.cache
def _expected():
  """{name: BxN} of the sequential sampler after what the loop emitted."""
  token_BxN = tiny.decode_all(3).token_BxN
  example_B = np.tile(tiny.prompts().example_P, len(tiny.DRAFTING))
  u_BxNxU = jax.jit(keys.uniforms, static_argnums=1)(
    keys.row_keys(keys.make(tiny.SEED), example_B), tiny.N
  )
  logits = (
    _logits_after(model, params, token_BxN)
    for model, params in zip(
      (tiny.DRAFTER, tiny.VERIFIER), tiny.params(), strict=True
    )
  )
  return jax.device_get(_sequential(*logits, u_BxNxU))


@pytest.mark.parametrize('name', tiny.DRAFTING)
def test_tokens_are_the_sequential_sampler_s(name):
  result, i = tiny.decode(name, 3), tiny.DRAFTING.index(name)
  expected = tiny.group(_expected(), i)
  for b in range(tiny.ROWS):
    ends = np.flatnonzero(expected['token'][b] == tiny.EOS)
    n = ends[0] + 1 if len(ends) else tiny.N
    own = {name: x[b, :n] for name, x in expected.items()}
    assert result.length_B[b] == n
    np.testing.assert_array_equal(result.token_BxN[b, :n], own['token'])
    assert (result.token_BxN[b, n:] == 0).all()
    np.testing.assert_array_equal(result.from_drafter_BxN[b, :n], own['kept'])
    assert not result.from_drafter_BxN[b, n:].any()
    counts = tiny.row(result.counts, b)
    assert counts.accepted_B == own['kept'].sum()
    assert counts.rejected_B == n - own['kept'].sum()
    assert counts.deferred_B == (own['divergence'] > 1e-9).sum()
    np.testing.assert_allclose(
      counts.divergence_B, own['divergence'].sum(), atol=1e-9
    )


@pytest.mark.parametrize(
  'gamma', [3, pytest.param(8, marks=pytest.mark.thorough)]
)
def test_what_is_observed_is_of_the_position_it_stands_at(gamma):
  """Of emitted positions, in ragged rows, whatever the draft length."""
  result, expected = tiny.decode_all(gamma), _expected()
  observed, length_B = result.observed, result.length_B
  assert set(observed) == {'divergence', 'best_p', 'drafted'}
  emitted_BxN = np.arange(tiny.N) < length_B[:, None]
  assert len(set(length_B.tolist())) > 4
  for name in ('divergence', 'best_p'):
    np.testing.assert_allclose(
      observed[name], np.where(emitted_BxN, expected[name], 0), atol=1e-9
    )
  assert observed['drafted'].dtype == np.int32
  assert (observed['drafted'][~emitted_BxN] == 0).all()
  kept_BxN = result.from_drafter_BxN
  np.testing.assert_array_equal(
    observed['drafted'][kept_BxN], result.token_BxN[kept_BxN]
  )
  np.testing.assert_array_equal(
    observed['drafted'], tiny.decode_all(3).observed['drafted']
  )
  np.testing.assert_allclose(
    observed['divergence'].sum(1), result.counts.divergence_B, atol=1e-12
  )


def test_nothing_is_observed_unless_asked():
  assert _decode_forms().observed == {}


def test_the_batch_has_rows_of_every_kind():
  """Else the tests here would pass for want of cases."""
  by_drafter = set()
  for name in tiny.DRAFTING:
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
      assert (result.counts.accepted_lengths_BxA[:, -1] > 0).any()
      assert (result.counts.deferred_B > 0).any()
  assert by_drafter == {True, False}  # EOS as an accepted draft and redrawn.
  every = [tiny.decode(name, 3) for name in tiny.DRAFTING]
  assert len({tuple(result.length_B) for result in every}) > 4
  assert len({result.token_BxN.tobytes() for result in every}) > 8
  # No repetition that a wrong cache would repeat as well.
  greedy = tiny.sampling().temperature_B == 0
  for row in tiny.decode('strict', 3).token_BxN[~greedy]:
    assert len(set(row.tolist())) > 2


# --- Any draft length.


@pytest.mark.parametrize('gamma', tiny.GAMMAS)
@pytest.mark.parametrize(
  'name',
  [n for n in tiny.DRAFTING if not methods.get(n).plan_changes_text],
)
def test_any_gamma_gives_the_same_tokens(name, gamma):
  result = tiny.decode(name, gamma)
  tiny.assert_same(result, tiny.decode(name, 3))
  _check_counts(result, gamma)
  _check_replay(result, tiny.decode(name, 3), gamma)


@pytest.mark.parametrize(
  'gamma', [0, pytest.param(5, marks=pytest.mark.thorough)]
)
def test_other_gammas_give_the_same_tokens(gamma):
  loop = tiny.make_loop(gamma)
  result = loop_lib.decode(loop, tiny.params(), tiny.request())
  for i, name in enumerate(tiny.FORMS):
    own = tiny.group(jax.device_get(result), i)
    tiny.assert_same(own, tiny.decode(name, 3))
    _check_counts(own, gamma)
    _check_replay(own, tiny.decode(name, 3), gamma)
    if gamma == 0:
      np.testing.assert_array_equal(own.counts.verifier_calls_B, own.length_B)


def _check_replay(result, other, gamma):
  """Counts of this draft length follow from the text under another."""
  for b in range(tiny.ROWS):
    np.testing.assert_array_equal(
      replay.accepted_lengths(
        other.from_drafter_BxN[b, : other.length_B[b]], gamma
      ),
      result.counts.accepted_lengths_BxA[b],
    )


def _check_counts(result, gamma):
  c = result.counts
  histogram = c.accepted_lengths_BxA
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


def test_the_drafter_s_blocks_are_full():
  result = tiny.decode('drafter', 8)
  np.testing.assert_array_equal(
    result.counts.verifier_calls_B, -(-result.length_B // 9)
  )
  assert result.counts.deferred_B.sum() == 0
  assert result.counts.divergence_B.sum() == 0


def test_seeds_and_examples_differ():
  greedy = tiny.sampling().temperature_B == 0
  other_seed = jax.device_get(_decode_forms(seed=1))
  for i, name in enumerate(tiny.FORMS):
    tokens = tiny.decode(name, 3).token_BxN
    other = tiny.group(other_seed, i).token_BxN
    np.testing.assert_array_equal(tokens[greedy], other[greedy])
    assert (tokens[~greedy] != other[~greedy]).any(1).all()


# --- Any batch.


def _decode_forms(**changes):
  return loop_lib.decode(
    tiny.make_loop(3), tiny.params(), tiny.request(**changes)
  )


@functools.cache
def _single():
  """A Loop for one row of any drafting method."""
  chosen = choice.Choice(tuple(map(methods.get, tiny.DRAFTING)))
  return loop_lib.Loop(
    tiny.DRAFTER,
    tiny.VERIFIER,
    3,
    tiny.N,
    (tiny.EOS,),
    (loop_lib.Group(chosen, 1),),
  )


def _decode_single(name, b):
  """Row b under a method that is chosen at run time, with wider padding."""
  row, (group,) = slice(b, b + 1), _single().groups
  own = tuple(x[row] for x in tiny.values(name))
  asked = results.Request(
    tiny.row(tiny.prompts(width=12), row),
    tiny.row(tiny.sampling(), row),
    (group.method.values(methods.get(name), own, 1),),
    keys.make(tiny.SEED),
  )
  return loop_lib.decode(_single(), tiny.params(), asked)


@pytest.mark.parametrize('name', tiny.DRAFTING)
def test_a_prompt_alone_gives_what_it_gives_in_a_batch(name):
  """No count depends on how long others run, or on their methods."""
  together = tiny.decode(name, 3)
  for b in range(tiny.ROWS):
    tiny.assert_same(
      _decode_single(name, b),
      tiny.row(together, slice(b, b + 1)),
      gamma_free=False,
    )


def test_one_program_serves_every_method_that_is_chosen():
  sizes = set()
  for name in tiny.DRAFTING:
    _decode_single(name, 0)
    sizes.add(loop_lib._decode._cache_size())
  assert len(sizes) == 1


# --- Any device layout.


def test_sharded_equals_unsharded():
  if jax.device_count() < 8:
    pytest.skip('needs 8 devices')
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  placed = tuple(
    jax.device_put(
      p, sharding.parameter_shardings(p, mesh, partition.PARTITION)
    )
    for p in tiny.params()
  )
  heads = placed[1]['layers_1']['attention']['query']
  assert heads.sharding.shard_shape(heads.shape) == (16, 2, 4)
  asked = tiny.request()
  prompts = jax.device_put(
    asked.prompts, jax.NamedSharding(mesh, sharding.BATCH)
  )
  with jax.set_mesh(mesh):
    result = loop_lib.decode(
      tiny.make_loop(3), placed, asked.replace(prompts=prompts)
    )
  assert len(result.token_BxN.sharding.device_set) == 8
  for i, name in enumerate(tiny.FORMS):
    tiny.assert_same(
      tiny.group(jax.device_get(result), i),
      tiny.decode(name, 3),
      gamma_free=False,
    )
