"""From logits to probabilities, and from those to tokens."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import rules, sharding
from speccascade.sampling import draws, keys, probabilities
from tests.rules import examples

V = 17

draw = jax.jit(draws.draw)
uniforms = jax.jit(keys.uniforms, static_argnums=1)
_accepts = jax.jit(draws.accepts)


pytestmark = pytest.mark.usefixtures('float64')


def _weights(rows, width, seed=0, zeros=0.3):
  """Random weights, some rows with many zeros, none with nothing else."""
  rng = np.random.default_rng(seed)
  w = rng.exponential(size=(rows, width))
  w = np.where(
    rng.random(w.shape) < zeros * rng.integers(0, 4, (rows, 1)), 0, w
  )
  w[np.arange(rows), rng.integers(0, width, rows)] = rng.exponential(size=rows)
  return w


# --- From logits to probabilities.


def _reference(logits, temperature, top_k, top_p):
  """One row, by sorting."""
  if temperature == 0:
    return np.eye(len(logits))[logits.argmax()]
  e = np.exp((logits - logits.max()) / temperature)
  probs = e / e.sum()
  order = np.argsort(-probs)
  if top_k:
    probs[order[top_k:]] = 0
    probs /= probs.sum()
  if top_p < 1:
    before = np.cumsum(probs[order]) - probs[order]
    probs[order[before >= top_p]] = 0
  return probs / probs.sum()


@functools.partial(jax.jit, static_argnums=3)
def _probabilities(logits_BxTxV, temperature_B, top_p_B, top_k=0):
  return probabilities.sampled(
    logits_BxTxV,
    probabilities.raw(logits_BxTxV),
    probabilities.Sampling(temperature_B, top_p_B, top_k),
  )


@pytest.mark.parametrize('top_k', [0, 1, 4, V])
@pytest.mark.parametrize(
  ('temperature', 'top_p'),
  [
    ([0, 0.3, 0.5, 1, 1, 2, 0, 1], [1, 1, 0.8, 0.8, 1, 0.3, 0.5, 0.05]),
    ([1] * 8, [1] * 8),  # Nothing to do.
    ([1] * 8, [0.9, 1, 0.5, 1e-9, 1 - 1e-9, 0.7, 1, 0.2]),
    ([0.7] * 8, [1] * 8),
  ],
)
def test_probabilities_equal_a_sort(temperature, top_p, top_k):
  logits = 3 * np.random.default_rng(0).normal(size=(8, 3, V))
  got = _probabilities(
    logits, np.array(temperature, float), np.array(top_p, float), top_k
  )
  want = [
    [_reference(x, t, top_k, p) for x in rows]
    for rows, t, p in zip(logits, temperature, top_p, strict=True)
  ]
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
  np.testing.assert_array_equal(got == 0, np.array(want) == 0)


def test_ties():
  logits = np.log([[[0.3, 0.3, 0.2, 0.2]]])
  one = np.ones(1)
  # The first of equal maxima at temperature 0; all of them otherwise.
  np.testing.assert_array_equal(
    _probabilities(logits, 0 * one, one), [[[1, 0, 0, 0]]]
  )
  both = [[[0.5, 0.5, 0, 0]]]
  np.testing.assert_allclose(_probabilities(logits, one, one, 1), both)
  np.testing.assert_allclose(_probabilities(logits, one, 0.1 * one), both)


def test_probabilities_in_float32():
  with jax.enable_x64(False):
    logits = 3 * np.random.default_rng(0).normal(size=(8, 3, 768))
    logits = logits.astype(np.float32)
    top_p = np.linspace(0.1, 1, 8, dtype=np.float32)
    got = _probabilities(logits, np.ones(8, np.float32), top_p)
    assert got.dtype == np.float32
    want = [
      [_reference(x.astype(float), 1, 0, float(p)) for x in rows]
      for rows, p in zip(logits, top_p, strict=True)
    ]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings('ignore:overflow')  # Of 1e300.
@pytest.mark.parametrize(
  'temperature', [1e-300, 1e-45, 1e-38, 1e-9, 9e-7, 1e-5, 1e5, 1e38, 1e300]
)
@pytest.mark.parametrize('top_p', [1e-300, 1e-45, 1e-9, 0.5, 1 - 1e-9, 1])
def test_float32_follows_every_sampling_that_is_taken(temperature, top_p):
  """Also where the numbers are rounded to 0, to 1 or to infinity."""
  with jax.enable_x64(False):
    logits = np.random.default_rng(0).normal(size=(3, 2, 768))
    logits = (25 + 5 * logits).astype(np.float32)
    row = lambda x: np.full(3, x)  # noqa: E731
    got = np.asarray(_probabilities(logits, row(temperature), row(top_p)))
  assert got.dtype == np.float32
  np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-5)
  wide = logits.astype(float).reshape(6, 768)
  for probs, x in zip(got.reshape(6, 768), wide, strict=True):
    if temperature < 1e-6:  # Too small to matter.
      np.testing.assert_array_equal(probs, _reference(x, 0, 0, 1))
      continue
    want = _reference(x, temperature, 0, top_p)
    if temperature < 1e5:  # Else all are alike, and top-p keeps any of them.
      np.testing.assert_allclose(probs, want, rtol=1e-4, atol=1e-7)
      assert abs((probs > 0).sum() - (want > 0).sum()) <= 2


# --- Draws.


def _inverse_cdf(w, u):
  """The index of each row by numpy, checked to be far from any boundary."""
  cdf = np.cumsum(w, -1) / w.sum(-1, keepdims=True)
  # Which side of a boundary u lies on is decided unless rounding could.
  assert np.abs(cdf - u[:, None]).min() > 1e-12
  return np.array(
    [np.searchsorted(c, x, side='right') for c, x in zip(cdf, u, strict=True)]
  )


@pytest.mark.parametrize('width', [1, 5, 17, 768])
def test_draw_is_an_inverse_cdf_of_blocks_and_one_within(width):
  rng = np.random.default_rng(width)
  w, u = _weights(2000, width, seed=width), rng.random((2000, 2))
  blocks = np.asarray(draws.split(w))
  block = _inverse_cdf(blocks.sum(-1), u[:, 0])
  within = _inverse_cdf(blocks[np.arange(2000), block], u[:, 1])
  want = block * blocks.shape[-1] + within
  got = draw(w, u)
  assert got.dtype == jnp.int32
  np.testing.assert_array_equal(got, want)
  # Leading axes; weights need not sum to 1.
  np.testing.assert_array_equal(
    draw(7 * w.reshape(40, 50, width), u.reshape(40, 50, 2)).ravel(), want
  )


@pytest.mark.parametrize('V', [1, 5, 17, 768, 256_000])
def test_blocks_are_about_as_many_as_they_are_wide(V):
  blocks = jax.eval_shape(draws.split, jax.ShapeDtypeStruct((3, V), float))
  assert V <= blocks.shape[1] * blocks.shape[2] < V + blocks.shape[2]
  assert max(blocks.shape[1:]) <= 6 * np.sqrt(V)


@pytest.mark.parametrize(
  'V', [32_128, 49_152, 128_256, 151_680, 151_936, 256_000, 262_144, 262_208]
)
def test_devices_hold_whole_blocks_of_published_vocabularies(V):
  """Of T5, SmolLM2, Llama 3, Qwen, and Gemma 2 and 3, on up to 64 devices."""
  blocks = jax.eval_shape(draws.split, jax.ShapeDtypeStruct((3, V), float))
  assert blocks.shape[1] * blocks.shape[2] == V
  assert blocks.shape[1] % 64 == 0


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('width', [1, 5, 17, 768])
def test_draw_at_the_ends(width, dtype):
  w = _weights(1000, width, seed=width).astype(dtype)
  positive = w > 0
  first, last = positive.argmax(-1), width - 1 - positive[:, ::-1].argmax(-1)
  np.testing.assert_array_equal(draw(w, np.zeros((1000, 2), dtype)), first)
  almost_1 = np.nextafter(dtype(1), dtype(0))
  drawn = np.asarray(draw(w, np.full((1000, 2), almost_1)))
  if dtype == np.float64:  # Every weight is far above 1 - almost_1.
    np.testing.assert_array_equal(drawn, last)
  assert positive[np.arange(1000), drawn].all()
  for seed in range(5):
    u = np.random.default_rng(seed).random((1000, 2)).astype(dtype)
    drawn = draw(w, np.minimum(u, almost_1))
    assert positive[np.arange(1000), drawn].all()


@pytest.mark.parametrize('width', [5, 17])
def test_a_grid_of_uniforms_integrates_to_the_weights(width):
  w = _weights(1, width, seed=3)[0]
  n = 200  # Of each uniform.
  grid = (np.arange(n) + 0.5) / n
  u = np.stack(np.meshgrid(grid, grid, indexing='ij'), -1).reshape(-1, 2)
  drawn = draw(np.tile(w, (n * n, 1)), u)
  # An interval holds its length in grid points, give or take one, on both
  # levels.
  share = np.bincount(drawn, minlength=width) / (n * n)
  np.testing.assert_allclose(share, w / w.sum(), rtol=0, atol=2.002 / n)


def test_uniforms_are_those_of_key_example_position_and_role():
  key = keys.make(5)
  example_B = np.array([3, 9, 3])
  u = uniforms(keys.row_keys(key, example_B), 4)
  assert u.shape == (3, 4, keys.U)
  for b in range(3):
    for t in range(4):
      alone = jax.random.fold_in(jax.random.fold_in(key, example_B[b]), t)
      np.testing.assert_array_equal(
        u[b, t], jax.random.uniform(alone, (keys.U,))
      )
  np.testing.assert_array_equal(u[0], u[2])  # The same example.
  # All else differs: roles, positions, examples and seeds.
  other = uniforms(keys.row_keys(keys.make(6), example_B), 4)
  distinct = np.concatenate([np.ravel(u[:2]), np.ravel(other[:2])])
  assert len(np.unique(distinct)) == len(distinct)
  assert (0 <= u).all()
  assert (u < 1).all()


def test_roles_share_no_uniform():
  u = np.arange(keys.U)
  roles = [u[keys.DRAFT], [u[keys.ACCEPT]], u[keys.RESIDUAL]]
  assert [len(x) for x in roles] == [2, 1, 2]
  assert sorted(np.concatenate(roles)) == list(range(keys.U))


# --- Acceptance and residual.


def test_residual():
  pi = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
  q = np.array([[0.2, 0.4, 0.4], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
  np.testing.assert_allclose(
    draws.residual(pi, q),
    [[0.3, 0, 0], pi[1], pi[2]],  # Nothing left: pi itself.
  )


def test_accepts():
  q, pi = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.0, 0.75])
  rows = lambda x: np.tile(x, (5, 1))  # noqa: E731
  token, u = np.array([0, 0, 1, 2, 0]), np.array([0.49, 0.5, 0.0, 0.99, 0.0])
  np.testing.assert_array_equal(
    draws.accepts(token, u, rows(pi), rows(q)),
    # Below .25 / .5, at it, no mass in pi, not in q, u = 0.
    [True, False, False, True, True],
  )


def _law(name):
  """(pi, q) of many random rows and values of a rule."""
  rng = np.random.default_rng(1)
  n = 300
  q, p = _weights(n, V, 1), _weights(n, V, 2)
  q_raw, p_raw = _weights(n, V, 3, zeros=0), _weights(n, V, 4, zeros=0)
  q, p, q_raw, p_raw = (
    x / x.sum(-1, keepdims=True) for x in (q, p, q_raw, p_raw)
  )
  rule = rules.RULES[name]
  values = (
    rng.uniform(*examples.span(parameter), n) for parameter in rule.parameters
  )
  return np.asarray(jax.jit(rule)(q, p, q_raw, p_raw, *values)), q


@pytest.mark.parametrize('name', rules.RULES)
def test_draft_accept_redraw_emits_pi_and_rejects_d_tv(name):
  """The law of one position, integrated over its uniforms.

  P(draft x) is checked above to be q(x). P(accept | x) is the measure of
  {u : accepts(x, u)}, an interval that starts at 0: its end, by bisection.
  """
  pi, q = _law(name)
  token = np.tile(np.arange(V), (len(q), 1))
  expand = lambda x: np.broadcast_to(x[:, None], (*x.shape, V))  # noqa: E731
  below, above = np.zeros_like(q), np.ones_like(q)
  for _ in range(55):
    u = (below + above) / 2
    accepted = np.asarray(_accepts(token, u, expand(pi), expand(q)))
    below, above = np.where(accepted, u, below), np.where(accepted, above, u)
  kept = q * above
  rejected = 1 - kept.sum(-1)
  rest = np.asarray(draws.residual(pi, q))
  emitted = kept + rejected[:, None] * rest / rest.sum(-1, keepdims=True)
  np.testing.assert_allclose(emitted, pi, rtol=0, atol=1e-12)
  np.testing.assert_allclose(
    rejected, probabilities.total_variation(pi, q), rtol=0, atol=1e-12
  )


def test_running_sums_are_no_scan_on_a_gpu():
  # JAX 0.11 makes one of `cumsum`, which a mesh turns into a loop over tokens.
  weight_3xV, u_3 = _weights(3, V), np.full(3, 0.5)
  traced = jax.jit(draws.invert).trace(weight_3xV, u_3)
  text = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert 'reduce_window' in text
  assert 'scan' not in text


def test_a_draw_on_a_mesh_is_no_loop_and_moves_blocks_alone():
  mesh = sharding.make_mesh(1, 8)
  weight_3xV = jax.device_put(
    _weights(3, 256_000), jax.NamedSharding(mesh, sharding.P(None, 'model'))
  )
  u_3x2 = np.random.default_rng(1).random((3, 2))
  with jax.set_mesh(mesh):
    text = draw.lower(weight_3xV, u_3x2).compile().as_text()
    got = draw(weight_3xV, u_3x2)
  np.testing.assert_array_equal(got, draw(np.array(weight_3xV), u_3x2))
  assert ' while(' not in text
  moved = re.findall(r'f64\[([\d,]+)\][^=]* all-(?:gather|reduce)\(', text)
  assert moved
  assert all(math.prod(map(int, x.split(','))) <= 3 * 512 for x in moved)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_top_k_leaves_a_divided_vocabulary_where_it_is():
  """And keeps the same tokens, ties included."""
  V, k = 2048, 7
  rng = np.random.default_rng(0)
  logits_BxTxV = rng.integers(0, 40, (3, 2, V)) / 4.0
  sampling = probabilities.Sampling(
    np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.8, 1.0]), k
  )

  @jax.jit
  def keep(logits_BxTxV):
    raw = probabilities.raw(logits_BxTxV)
    return probabilities.sampled(logits_BxTxV, raw, sampling)

  want = keep(logits_BxTxV)
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  lies = jax.NamedSharding(mesh, sharding.P(None, None, mesh.axis_names[1:]))
  with jax.set_mesh(mesh):
    placed = jax.device_put(logits_BxTxV, lies)
    found = keep(placed)
    text = keep.lower(placed).compile().as_text()
  np.testing.assert_array_equal(found > 0, want > 0)
  np.testing.assert_allclose(found, want, rtol=1e-6)
  assert k <= (want[0, 0] > 0).sum() < V
  gathered = re.findall(r'all-gather\S* = \w+\[([\d,]+)\]', text)
  sizes = [math.prod(map(int, x.split(','))) for x in gathered]
  assert max(sizes, default=0) < 3 * 2 * V // 8


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_gpu_finds_the_same_without_a_loop_or_a_choice(monkeypatch, dtype):
  """Whose graphs of a draft hold neither."""
  rng = np.random.default_rng(0)
  logits_BxTxV = rng.integers(-9, 90, (4, 3, 700)) / dtype(8)
  sampling = probabilities.Sampling(
    np.array([1.0, 0.5, 0.0, 2.0]), np.array([1.0, 0.8, 0.3, 1e-9])
  )
  k_Bx1x1 = np.array([1, 5, 99, 700])[:, None, None]

  def keep(logits_BxTxV):
    raw = probabilities.raw(logits_BxTxV)
    return (
      probabilities.sampled(logits_BxTxV, raw, sampling),
      probabilities.most_probable(raw, k_Bx1x1),
    )

  want = jax.jit(keep)(logits_BxTxV)
  assert re.search('while|scan', str(jax.make_jaxpr(keep)(logits_BxTxV)))
  monkeypatch.setattr(sharding, 'platform', lambda: 'gpu')
  text = str(jax.make_jaxpr(lambda x: keep(x))(logits_BxTxV))
  assert not re.search(r'\b(while|scan|cond)\b', text)
  for got, wanted in zip(
    jax.jit(lambda x: keep(x))(logits_BxTxV), want, strict=True
  ):
    np.testing.assert_array_equal(got > 0, wanted > 0)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
