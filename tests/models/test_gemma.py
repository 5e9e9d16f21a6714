import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.models.gemma import config as config_lib
from speccascade.models.gemma import model as gemma
from tests.models import reference

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
  return config_lib.GemmaConfig(**{**settings, **overrides})


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


def _cache(scan_layers):
  """Shapes of a cache for 31 new tokens and blocks of 4."""
  model, params = _model(scan_layers)
  prefill = functools.partial(model.prefill, new_tokens=31, block=4)
  return jax.eval_shape(prefill, params, _tokens(5, 9), np.ones(5, int))[0]


@pytest.mark.parametrize('scan_layers', [False, True])
def test_local_layers_have_a_ring(scan_layers):
  cache = _cache(scan_layers)
  stacks = 1 if scan_layers else 2
  assert [k.shape[3] for k in cache.keys] == [8, 44] * stacks
  assert cache.rings == (True, False) * stacks


def test_a_block_longer_than_the_ring_was_made_for():
  model, params = _model(False)
  with pytest.raises(ValueError, match='blocks of at most 4 tokens, got 5'):
    jax.eval_shape(model.extend, params, _cache(False), _tokens(5, 5))


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


@pytest.mark.parametrize(
  ('preset', 'parameters'),
  [
    (config_lib.gemma2_2b, 2_614_341_888),
    (config_lib.gemma2_9b, 9_241_705_984),
    (config_lib.gemma2_27b, 27_227_128_320),
  ],
)
def test_preset_sizes(preset, parameters):
  for scan_layers in (True, False):
    if not scan_layers and preset is not config_lib.gemma2_2b:
      continue  # Unrolled traces are slow; one shows that both agree.
    model = gemma.Gemma(preset(scan_layers=scan_layers))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    sizes = [np.prod(x.shape, dtype=int) for x in jax.tree.leaves(shapes)]
    assert sum(sizes) == parameters


def test_presets_take_overrides():
  config = config_lib.gemma2_27b(num_layers=2, dtype='float32')
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
    (dict(attention_pattern=('local', 'far')), "must be made of 'local' and"),
    (dict(attention_pattern=()), "must be made of 'local' and 'global'"),
  ],
)
def test_config_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    _config(**changes)
