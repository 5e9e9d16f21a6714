import functools

import jax
import numpy as np
import pytest

from speccascade.models.t5 import config as config_lib
from speccascade.models.t5 import layers
from speccascade.models.t5 import model as t5
from tests.models import t5_reference

V, L = 20, 2
S, T = 27, 29  # Past the buckets of one distance each, both ways.
LENGTH_B = np.array([S, 1, 12, 20])


pytestmark = pytest.mark.usefixtures('float64')


def _config(**overrides):
  settings = dict(
    vocab_size=V,
    num_layers=L,
    embed_dim=12,
    num_heads=4,
    head_dim=5,
    hidden_dim=16,
    input_length=30,
    dtype='float64',
  )
  return config_lib.T5Config(**{**settings, **overrides})


@functools.cache
def _model(scan_layers):
  """The model and rough parameters: no norm at one, attention far from flat."""
  model = t5.T5(_config(scan_layers=scan_layers))
  rng = np.random.default_rng(0)

  def fill(path, x):
    width = {'query': 0.6, 'key': 0.6, 'embedding': 1, 'relative_bias': 1}
    name = path[-1].key
    return (name == 'scale') + width.get(name, 0.3) * rng.normal(size=x.shape)

  shapes = jax.eval_shape(model.init, jax.random.key(0))
  return model, jax.tree_util.tree_map_with_path(fill, shapes)


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, input_BxS, length_B, token_BxT):
  return model.forward(params, input_BxS, length_B, token_BxT)


def _batch():
  """Inputs, what pads them is not pad, and decoder inputs."""
  rng = np.random.default_rng(1)
  token_BxT = rng.integers(0, V, (4, T))
  token_BxT[:, 0] = 0
  return rng.integers(0, V, (4, S)), token_BxT


@functools.cache
def _logits(scan_layers):
  input_BxS, token_BxT = _batch()
  return np.asarray(
    _forward(*_model(scan_layers), input_BxS, LENGTH_B, token_BxT)
  )


def _layers(params, scan_layers):
  """Parameters of each layer of each stack."""
  layers = {}
  for name in ('encoder', 'decoder', 'memory'):
    stack = params[name]
    if scan_layers:
      take = lambda i, x=stack['layers']: jax.tree.map(lambda y: y[i], x)  # noqa: E731
    elif name == 'memory':
      take = lambda i, x=stack: jax.tree.map(lambda y: y[0], x[f'layers_{i}'])  # noqa: E731
    else:
      take = lambda i, x=stack: x[f'layers_{i}']  # noqa: E731
    layers[name] = [take(i) for i in range(L)]
  return layers


@pytest.mark.parametrize('scan_layers', [False, True])
def test_forward_equals_a_plain_reference(scan_layers):
  got = _logits(scan_layers)
  assert got.dtype == np.float64
  _, params = _model(scan_layers)
  input_BxS, token_BxT = _batch()
  for b, length in enumerate(LENGTH_B):
    want = t5_reference.forward(
      params,
      _layers(params, scan_layers),
      input_BxS[b, :length],
      token_BxT[b],
    )
    np.testing.assert_allclose(got[b], want, rtol=0, atol=1e-10)


@pytest.mark.parametrize('bidirectional', [False, True])
def test_buckets_are_the_published_ones(bidirectional):
  got = layers.buckets(bidirectional)
  relative = np.arange(-300, 301)
  want = [t5_reference.bucket(r, bidirectional) for r in relative.tolist()]
  np.testing.assert_array_equal(got[np.clip(relative, -128, 128) + 128], want)
  starts = np.flatnonzero(np.diff(got[128::-1]) > 0) + 1
  wide = {
    True: [8, 12, 16, 23, 32, 46, 64, 91],
    False: [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113],
  }[bidirectional]
  np.testing.assert_array_equal(starts, [*range(1, wide[0]), *wide])


def test_padding_of_inputs_changes_nothing():
  """Neither what stands there nor how much of it, nor the other rows."""
  model, params = _model(True)
  input_BxS, token_BxT = _batch()
  other = np.where(np.arange(S) < LENGTH_B[:, None], input_BxS, 3)
  order = [2, 0, 3, 1]
  got = _forward(model, params, other[order], LENGTH_B[order], token_BxT[order])
  np.testing.assert_allclose(got, _logits(True)[order], rtol=0, atol=1e-12)
  wide = np.pad(other, ((0, 0), (0, 9)), constant_values=5)
  got = _forward(model, params, wide, LENGTH_B, token_BxT)
  np.testing.assert_allclose(got, _logits(True), rtol=0, atol=1e-12)


def test_every_input_token_matters_and_no_later_token_does():
  model, params = _model(False)
  input_BxS, token_BxT = _batch()
  rows = np.arange(4)
  for at in (0, 7):
    other = token_BxT.copy()
    other[:, at] = (other[:, at] + 1) % V
    got = _forward(model, params, input_BxS, LENGTH_B, other)
    changed_BxT = np.abs(got - _logits(False)).max(-1) > 1e-9
    assert not changed_BxT[:, :at].any()
    assert changed_BxT[:, at:].all()
  for at_B in (np.zeros(4, int), LENGTH_B - 1, LENGTH_B // 2):
    other = input_BxS.copy()
    other[rows, at_B] = (other[rows, at_B] + 1) % V
    got = _forward(model, params, other, LENGTH_B, token_BxT)
    assert (np.abs(got - _logits(False)).max(-1) > 1e-9).all()


@pytest.mark.parametrize('scan_layers', [False, True])
def test_an_empty_cache_has_the_input_as_its_memory(scan_layers):
  model, params = _model(scan_layers)
  prefill = functools.partial(model.prefill, new_tokens=24, block=4)
  cache, _ = jax.eval_shape(prefill, params, _batch()[0], LENGTH_B)
  stacks, depth = (1, L) if scan_layers else (L, 1)
  assert [k.shape for k in cache.keys] == [(depth, 4, 4, 29, 5)] * stacks
  assert [k.shape for k in cache.memory.keys] == [(depth, 4, 4, S, 5)] * stacks
  assert cache.rings == (False,) * stacks


@pytest.mark.parametrize(
  ('preset', 'parameters'),
  [
    (config_lib.t5_small, 76_961_152),
    (config_lib.t5_base, 247_577_856),
    (config_lib.t5_large, 783_150_080),
    (config_lib.t5_xl, 2_849_757_184),
  ],
)
def test_preset_sizes(preset, parameters):
  for scan_layers in (True, False):
    if not scan_layers and preset is not config_lib.t5_small:
      continue  # Unrolled traces are slow; one shows that both agree.
    model = t5.T5(preset(scan_layers=scan_layers))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    sizes = [np.prod(x.shape, dtype=int) for x in jax.tree.leaves(shapes)]
    assert sum(sizes) == parameters


def test_presets_take_overrides():
  model = t5.T5(config_lib.t5_small(num_layers=2, input_length=80))
  assert (model.config.num_layers, model.config.head_dim) == (2, 64)
  assert model.vocab_size == 32_128
  assert model.longest_prompt(10) == model.longest_prompt(80) == 80
  assert t5.T5(config_lib.t5_small()).longest_prompt(80) == 512
  assert hash(model) == hash(t5.T5(model.config))


@pytest.mark.parametrize('scan_layers', [True, False])
def test_a_decoder_may_be_deeper_than_its_encoder(scan_layers):
  """The contract tests decode with the example that is."""
  assert any(c.decoder_layers > c.num_layers for c in config_lib.EXAMPLES)
  model = t5.T5(_config(num_decoder_layers=3, scan_layers=scan_layers))
  params = jax.eval_shape(model.init, jax.random.key(0))
  if scan_layers:
    scale = lambda x: params[x]['layers']['ffw_norm']['scale'].shape  # noqa: E731
    assert (scale('encoder')[0], scale('decoder')[0]) == (L, 3)
    assert params['memory']['layers']['key'].shape[0] == 3
  else:
    names = lambda x: {k for k in params[x] if k.startswith('layers')}  # noqa: E731
    assert names('encoder') == {'layers_0', 'layers_1'}
    assert names('decoder') == {'layers_0', 'layers_1', 'layers_2'}
    assert names('memory') == names('decoder')


def test_initial_widths():
  """Attention without a scale starts with logits of order one."""
  config = _config(
    vocab_size=64,
    num_layers=1,
    embed_dim=48,
    head_dim=16,
    hidden_dim=96,
    dtype='float32',
  )
  with jax.enable_x64(False):
    params = jax.jit(t5.T5(config).init)(jax.random.key(0, impl='unsafe_rbg'))
  layer = params['decoder']['layers_0']
  for got, want in (
    (params['embedding'], 1),
    (params['lm_head'], 48**-0.5),
    (params['encoder']['positions']['relative_bias'], 48**-0.5),
    (params['memory']['layers_0']['value'], 48**-0.5),
    (layer['attention']['query'], (48 * 16) ** -0.5),
    (layer['cross_attention']['query'], (48 * 16) ** -0.5),
    (layer['attention']['key'], 48**-0.5),
    (layer['attention']['out'], 64**-0.5),
    (layer['ffw']['gate'], 48**-0.5),
    (layer['ffw']['down'], 96**-0.5),
  ):
    error = 4 / np.sqrt(2 * got.size)  # Four standard errors of a deviation.
    assert abs(got.std() / want - 1) < error
  np.testing.assert_array_equal(layer['ffw_norm']['scale'], np.ones(48))
