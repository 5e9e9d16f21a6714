import functools

import jax
import numpy as np
import pytest

from speccascade.models.t5 import config as config_lib
from speccascade.models.t5 import layers, positions
from speccascade.models.t5 import model as t5
from tests.models import t5_reference

V, L = 20, 2
S, T = 27, 29  # Past the buckets of one distance each, both ways.
LENGTH_B = np.array([S, 1, 12, 20])


_VERSIONS = {
  '1.1': {},
  '1.0': dict(gated=False, tied_embeddings=True, scales_output=True),
}
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
def _model(stacked, version='1.1'):
  """The model and rough parameters: no norm at one, attention far from flat."""
  model = t5.T5(_config(**_VERSIONS[version]))
  rng = np.random.default_rng(0)

  def fill(path, x):
    width = {'query': 0.6, 'key': 0.6, 'embedding': 1, 'relative_bias': 1}
    name = path[-1].key
    return (name == 'scale') + width.get(name, 0.3) * rng.normal(size=x.shape)

  shapes = jax.eval_shape(model.init, jax.random.key(0))
  params = jax.tree_util.tree_map_with_path(fill, shapes)
  return model, model.stack(params) if stacked else params


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
def _logits(stacked, version='1.1'):
  input_BxS, token_BxT = _batch()
  model = _model(stacked, version)
  return np.asarray(_forward(*model, input_BxS, LENGTH_B, token_BxT))


@pytest.mark.parametrize('version', _VERSIONS)
@pytest.mark.parametrize('stacked', [False, True])
def test_forward_equals_a_plain_reference(stacked, version):
  got = _logits(stacked, version)
  assert got.dtype == np.float64
  _, params = _model(False, version)
  input_BxS, token_BxT = _batch()
  for b, length in enumerate(LENGTH_B):
    want = t5_reference.forward(params, input_BxS[b, :length], token_BxT[b])
    np.testing.assert_allclose(got[b], want, rtol=0, atol=1e-10)


@pytest.mark.parametrize('bidirectional', [False, True])
def test_buckets_are_the_published_ones(bidirectional):
  got = positions.buckets(bidirectional)
  relative = np.arange(-300, 301)
  want = [t5_reference.bucket(r, bidirectional) for r in relative.tolist()]
  np.testing.assert_array_equal(got[np.clip(relative, -128, 128) + 128], want)
  starts = np.flatnonzero(np.diff(got[128::-1]) > 0) + 1
  wide = {
    True: [8, 12, 16, 23, 32, 46, 64, 91],
    False: [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113],
  }[bidirectional]
  np.testing.assert_array_equal(starts, [*range(1, wide[0]), *wide])


def test_a_bias_is_that_of_each_relative_position():
  """Near, far and on both sides, of queries from the middle of a line."""
  bias_RxN = np.random.default_rng(0).normal(size=(257, 3))
  query_1xT, key_1xS = np.arange(200, 240)[None], np.arange(400)[None]
  line_NxR = positions.line(jax.numpy.asarray(bias_RxN), 240, 400)
  got = positions.skewed(line_NxR[:, : 40 + 399], 40)
  want = positions.spread(bias_RxN, query_1xT, key_1xS)[0]
  np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('block', [1, 3, 4])
def test_blocks_of_an_input_are_encoded_as_all_of_it(block, monkeypatch):
  (model, params), want = _model(True), _logits(True)
  monkeypatch.setattr(layers, '_LOGITS', 0)
  monkeypatch.setattr(layers, '_SHORT', block)
  forward = jax.jit(lambda *args: model.forward(*args))
  input_BxS, token_BxT = _batch()
  assert S % 4  # The last block of four is padded.
  got = forward(params, input_BxS, LENGTH_B, token_BxT)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


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


@pytest.mark.parametrize('stacked', [False, True])
def test_an_empty_cache_has_the_input_as_its_memory(stacked):
  model, params = _model(stacked)
  prefill = functools.partial(model.prefill, new_tokens=24, block=4)
  cache, _ = jax.eval_shape(prefill, params, _batch()[0], LENGTH_B)
  stacks, depth = (1, L) if stacked else (L, 1)
  assert [k.shape for k in cache.keys] == [(depth, 4, 4, 32, 5)] * stacks
  assert [k.shape for k in cache.memory.keys] == [(depth, 4, 4, S, 5)] * stacks
  assert cache.rings == (False,) * stacks


def test_presets_take_overrides():
  model = t5.T5(config_lib.t5_v1_1_small(num_layers=2, input_length=80))
  assert (model.config.num_layers, model.config.head_dim) == (2, 64)
  assert model.vocab_size == 32_128
  assert model.longest_prompt(10) == model.longest_prompt(80) == 80
  assert t5.T5(config_lib.t5_v1_1_small()).longest_prompt(80) > 1e9
  assert hash(model) == hash(t5.T5(model.config))


@pytest.mark.parametrize('stacked', [True, False])
def test_a_decoder_may_be_deeper_than_its_encoder(stacked):
  """The contract tests decode with the example that is."""
  assert any(c.decoder_layers > c.num_layers for c in config_lib.EXAMPLES)
  model = t5.T5(_config(num_decoder_layers=3))
  make = lambda key: model.init(key)  # noqa: E731
  if stacked:
    make = lambda key: model.stack(model.init(key))  # noqa: E731
  params = jax.eval_shape(make, jax.random.key(0))
  for half, number in (('encoder', L), ('decoder', 3)):
    names = [k for k in params[half] if k.startswith(('layers', 'stack'))]
    if stacked:
      assert names == ['stack_0']
      assert len(params[half]['stack_0']['ffw_norm']['scale']) == number
    else:
      assert sorted(names) == [f'layers_{i}' for i in range(number)]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(num_buckets=6), 'num_buckets=6 must be a multiple of 4'),
    (dict(max_distance=16), 'max_distance=16 must be more than half of'),
  ],
)
def test_config_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    _config(**changes)


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
    (layer['cross_attention']['value'], 48**-0.5),
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
