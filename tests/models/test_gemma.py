import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from speccascade.models import cache as cache_lib
from speccascade.models import gemma

T = 23


pytestmark = pytest.mark.usefixtures('float64')


def _config(**overrides):
  settings = dict(
    vocab_size=19,
    num_layers=4,
    embed_dim=12,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    hidden_dim=20,
    query_scalar=9.0,
    window=4,
    dtype='float64',
  )
  return gemma.GemmaConfig(**{**settings, **overrides})


@functools.cache
def _model(scan_layers):
  """The model and rough parameters: no norm at zero, caps well in reach."""
  model = gemma.Gemma(_config(scan_layers=scan_layers))
  rng = np.random.default_rng(0)

  def fill(path, x):
    width = {'query': 1.5, 'key': 1.5, 'embedding': 2, 'scale': 0.5}
    return width.get(path[-1].key, 0.4) * rng.normal(size=x.shape)

  shapes = jax.eval_shape(model.init, jax.random.key(0))
  return model, jax.tree_util.tree_map_with_path(fill, shapes)


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, token_BxT):
  return model.forward(params, token_BxT)


def _tokens(rows, width=T, seed=0):
  return np.random.default_rng(seed).integers(0, 19, (rows, width))


def _layers(params, scan_layers):
  """Each layer's parameters, by name without their place."""
  layers = []
  for i in range(4):
    kind = ('local_0_', 'global_1_')[i % 2]
    period = (
      jax.tree.map(lambda x, i=i: x[i // 2], params['layers'])
      if scan_layers
      else params[f'layers_{i // 2}']
    )
    layers.append(
      {k.removeprefix(kind): v for k, v in period.items() if kind in k}
    )
  return layers


@pytest.mark.parametrize('scan_layers', [False, True])
def test_forward_equals_a_plain_reference(scan_layers):
  model, params = _model(scan_layers)
  token_BxT = _tokens(2)
  got = _forward(model, params, token_BxT)
  assert got.dtype == jnp.float64
  for b in range(2):
    want = reference.forward(
      _layers(params, scan_layers),
      params['embedding'],
      params['final_norm']['scale'],
      token_BxT[b],
      window=4,
      scalar=9.0,
    )
    np.testing.assert_allclose(got[b], want, rtol=0, atol=1e-10)
  assert float(jnp.abs(got).max()) > 10  # Where the cap of 30 bends.


@functools.partial(jax.jit, static_argnums=0)
def _prefill(model, params, token_BxS, length_B):
  return model.prefill(params, token_BxS, length_B, new_tokens=31, block=4)


@functools.partial(jax.jit, static_argnums=0)
def _extend(model, params, cache, token_BxT):
  return model.extend(params, cache, token_BxT)


@pytest.mark.parametrize('scan_layers', [False, True])
def test_extend_with_rewinds_equals_forward(scan_layers):
  """Ragged rows, random blocks kept in part, rings that wrap many times.

  What is rewound was a wrong continuation, as a rejected draft is.
  """
  model, params = _model(scan_layers)
  rng = np.random.default_rng(1)
  token_BxT = _tokens(5, 44, seed=2)
  want = np.asarray(_forward(model, params, token_BxT))
  length_B = np.array([1, 9, 4, 6, 2])
  prompt = np.where(np.arange(9) < length_B[:, None], token_BxT[:, :9], 7)
  cache, last_B = _prefill(model, params, prompt, length_B)
  rings = [k.shape[3] for k in cache.keys]
  assert rings == [8, 44] * (1 if scan_layers else 2)
  held_B = length_B - 1
  np.testing.assert_array_equal(cache.length_B, held_B)
  np.testing.assert_array_equal(last_B, token_BxT[np.arange(5), held_B])
  for i in range(60):
    width = (1, 4)[i % 2]
    keep_B = np.minimum(rng.integers(0, width + 1, 5), 40 - held_B)
    at_BxT = held_B[:, None] + np.arange(width)
    block = np.take_along_axis(token_BxT, at_BxT, 1)
    wrong = np.arange(width) >= keep_B[:, None]
    block = np.where(wrong, (block + 1 + i) % 19, block)
    logits, cache = _extend(model, params, cache, block)
    np.testing.assert_array_equal(cache.length_B, held_B + width)
    for b in range(5):
      kept = slice(held_B[b], held_B[b] + keep_B[b])
      np.testing.assert_allclose(
        logits[b, : keep_B[b]], want[b, kept], rtol=0, atol=1e-11
      )
    held_B = held_B + keep_B
    cache = cache_lib.rewind(cache, jnp.asarray(held_B))
  assert (held_B == 40).all()  # Five times round the ring.


def test_a_block_longer_than_the_ring_was_made_for():
  model, params = _model(False)
  cache, _ = _prefill(model, params, _tokens(2, 3), np.array([3, 2]))
  with pytest.raises(ValueError, match='block of 5.*made for at most 4'):
    model.extend(params, cache, _tokens(2, 5))


def test_causality_by_gradients():
  """Logits at t depend on every token up to t and on none after it."""
  model, params = _model(False)
  model = gemma.Gemma(_config(vocab_size=T + 1))
  embedding = np.random.default_rng(3).normal(size=(T + 1, 12))
  token_1xT = np.arange(T)[None]  # An embedding of its own at each position.

  @jax.jit
  @jax.grad
  def gradient(embedding, t):  # Of the logit of a token that is not read.
    logits = model.forward({**params, 'embedding': embedding}, token_1xT)
    return logits[0, t, T]

  for t in (0, 5, T - 1):
    size = np.abs(gradient(embedding, t))[:T].max(-1)
    assert (size[: t + 1] > 0).all()
    assert (size[t + 1 :] == 0).all()


def test_local_layers_see_no_further_than_their_window():
  model = gemma.Gemma(_config(num_layers=1, attention_pattern=('local',)))
  _, params = _model(False)
  layer = params['layers_0']
  layer = {k: v for k, v in layer.items() if k.startswith('local')}
  params = {**params, 'layers_0': layer}
  token_BxT = _tokens(1)
  other = token_BxT.copy()
  other[0, 10] = (other[0, 10] + 1) % 19
  a, b = (_forward(model, params, x)[0] for x in (token_BxT, other))
  changed = np.flatnonzero(np.abs(a - b).max(-1) > 0)
  np.testing.assert_array_equal(changed, [10, 11, 12, 13])  # window = 4.


def test_rows_know_nothing_of_padding_or_of_each_other():
  model, params = _model(True)
  token_BxT = _tokens(4)
  together = np.asarray(_forward(model, params, token_BxT))
  for b, n in enumerate([1, 5, 12, T]):
    padded = np.array(token_BxT)
    padded[b, n:] = 0
    padded[np.arange(4) != b] = 3
    alone = _forward(model, params, padded)[b, :n]
    np.testing.assert_allclose(alone, together[b, :n], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
  ('preset', 'parameters'),
  [
    (gemma.gemma2_2b, 2_614_341_888),
    (gemma.gemma2_9b, 9_241_705_984),
    (gemma.gemma2_27b, 27_227_128_320),
  ],
)
def test_preset_sizes(preset, parameters):
  for scan_layers in (True, False):
    if not scan_layers and preset is not gemma.gemma2_2b:
      continue  # Unrolled traces are slow; one shows that both agree.
    model = gemma.Gemma(preset(scan_layers=scan_layers))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    sizes = [np.prod(x.shape, dtype=int) for x in jax.tree.leaves(shapes)]
    assert sum(sizes) == parameters


def test_presets_take_overrides():
  config = gemma.gemma2_27b(num_layers=2, dtype='float32')
  assert (config.num_layers, config.dtype) == (2, 'float32')
  assert config.query_scalar == 4608 / 32
  assert gemma.Gemma(config).vocab_size == 256_000
  assert hash(gemma.Gemma(config)) == hash(gemma.Gemma(config))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(num_layers=3), 'num_layers=3 must be a multiple of 2'),
    (dict(num_kv_heads=3), 'num_heads=4 must be a multiple of 3'),
    (dict(head_dim=5), 'head_dim=5 must be a multiple of 2'),
    (dict(attention_pattern=('local', 'far')), "must be of 'local' and"),
    (dict(attention_pattern=()), "must be of 'local' and 'global'"),
  ],
)
def test_config_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    _config(**changes)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_parameters_and_logits_are_float32(dtype):
  model = gemma.Gemma(_config(dtype=dtype))
  token_BxT = jax.ShapeDtypeStruct((2, 3), jnp.int32)
  with jax.enable_x64(False):
    params = jax.eval_shape(model.init, jax.random.key(0))
    logits = jax.eval_shape(model.forward, params, token_BxT)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  assert logits.dtype == jnp.float32
