import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.models import registry
from speccascade.models.decoder import model as decoder
from speccascade.models.gemma2 import config as config_lib
from tests.models import reference

T, V = 23, 19
_SHARED = dict(
  vocab_size=V,
  embed_dim=12,
  num_heads=4,
  num_kv_heads=2,
  head_dim=6,
  hidden_dim=20,
  dtype='float64',
)
_Layer = functools.partial(reference.Layer, 1e4)
_LOCAL = _Layer(window=4)

# The settings of a model of each family, and what the reference is told.
_CASES = {
  'gemma2': (
    dict(num_layers=4, query_scalar=9.0, window=4),
    reference.Model(
      (_LOCAL, _Layer()) * 2,
      scalar=9,
      offset=1,
      scaled=True,
      attention_cap=50,
      final_cap=30,
    ),
  ),
  'gemma3': (
    dict(num_layers=5, period=3, window=4, rope_factor=8.0, rope_base=100.0),
    reference.Model(
      (_LOCAL, _LOCAL, reference.Layer(100, factor=8), _LOCAL, _LOCAL),
      scalar=6,
      offset=1,
      scaled=True,
    ),
  ),
  'gemma4': (
    dict(
      num_layers=4,
      period=3,
      window=4,
      rope_base=100.0,
      num_global_kv_heads=1,
      global_head_dim=8,
      rope_fraction=0.7,
    ),
    reference.Model(
      (_LOCAL, _LOCAL, reference.Layer(100, fraction=0.7), _LOCAL),
      scalar=1,
      scaled=True,
      value_norm=True,
      final_cap=30,
    ),
  ),
  'llama': (
    dict(num_layers=2, norm_epsilon=0.1, tied_embeddings=True),
    reference.Model((_Layer(),) * 2, scalar=6, silu=True, epsilon=0.1),
  ),
  'qwen2': (
    dict(num_layers=2, rope_base=1e4, tied_embeddings=True),
    reference.Model((_Layer(),) * 2, scalar=6, silu=True),
  ),
  'qwen3': (
    dict(num_layers=2, rope_base=1e4),
    reference.Model((_Layer(),) * 2, scalar=6, silu=True),
  ),
}
pytestmark = pytest.mark.usefixtures('float64')


def _config(**changes):
  return config_lib.Gemma2Config(**_SHARED | _CASES['gemma2'][0] | changes)


@functools.cache
def _model(family='gemma2', stacked=False):
  """A model and rough parameters: no norm at zero, caps well in reach."""
  config = registry.make_config(family, **_SHARED | _CASES[family][0])
  model = registry.make_model(config)
  rng = np.random.default_rng(0)

  def fill(path, x):
    width = {'query': 1.5, 'key': 1.5, 'embedding': 2, 'lm_head': 2}
    return width.get(path[-1].key, 0.5) * rng.normal(size=x.shape)

  shapes = jax.eval_shape(model.init, jax.random.key(0))
  params = jax.tree_util.tree_map_with_path(fill, shapes)
  return model, model.stack(params) if stacked else params


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, token_BxT):
  return model.forward(params, token_BxT)


def _tokens(rows, width=T, seed=0):
  return np.random.default_rng(seed).integers(0, V, (rows, width))


@pytest.mark.parametrize('stacked', [False, True])
@pytest.mark.parametrize('family', _CASES)
def test_forward_equals_a_plain_reference(family, stacked):
  model, params = _model(family, stacked)
  token_BxT = _tokens(2)
  got = _forward(model, params, token_BxT)
  assert got.dtype == jnp.float64
  for row, token_T in zip(got, token_BxT, strict=True):
    want = reference.forward(_CASES[family][1], _model(family)[1], token_T)
    np.testing.assert_allclose(row, want, rtol=0, atol=1e-10)
  assert float(jnp.abs(got).max()) > 10  # Where the cap of 30 bends.


def _cache(stacked):
  """Shapes of a cache for prompts of 9, 31 new tokens and blocks of 4."""
  model, params = _model('gemma2', stacked)
  prefill = functools.partial(model.prefill, new_tokens=31, block=4)
  return jax.eval_shape(prefill, params, _tokens(5, 9), np.ones(5, int))[0]


@pytest.mark.parametrize('stacked', [False, True])
def test_local_layers_have_a_ring(stacked):
  cache = _cache(stacked)
  stacks = 1 if stacked else 2
  # A window of 4 and a chunk of 9, in whole chunks; 44 tokens in 64 slots.
  assert [k.shape[3] for k in cache.keys] == [18, 64] * stacks
  assert cache.rings == (True, False) * stacks


def test_a_block_longer_than_the_ring_was_made_for():
  model, params = _model()
  with pytest.raises(ValueError, match='blocks of at most 14 tokens, got 15'):
    jax.eval_shape(model.extend, params, _cache(False), _tokens(5, 15))


def test_causality_by_gradients():
  """Logits at t depend on every token up to t and on none after it."""
  model, params = _model()
  model = decoder.Decoder(_config(vocab_size=T + 1))
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
  model = decoder.Decoder(_config(num_layers=1, attention_pattern=('local',)))
  params = _model()[1]
  gone = {'layers_1', 'layers_2', 'layers_3'}
  params = {name: x for name, x in params.items() if name not in gone}
  token_BxT = _tokens(1)
  other = token_BxT.copy()
  other[0, 10] = (other[0, 10] + 1) % 19
  a, b = (_forward(model, params, x)[0] for x in (token_BxT, other))
  changed = np.flatnonzero(np.abs(a - b).max(-1) > 0)
  np.testing.assert_array_equal(changed, [10, 11, 12, 13])  # window = 4.


def test_presets_take_overrides():
  config = config_lib.gemma2_27b(num_layers=2, dtype='float32')
  assert (config.num_layers, config.dtype) == (2, 'float32')
  assert config.query_scalar == 4608 / 32
  assert decoder.Decoder(config).vocab_size == 256_000
  assert hash(decoder.Decoder(config)) == hash(decoder.Decoder(config))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(num_kv_heads=3), 'num_heads=4 must be a multiple of 3'),
    (dict(head_dim=5), 'head_dim=5 must be a multiple of 2'),
    (dict(attention_pattern=('local', 'far')), "must be made of 'local' and"),
    (dict(attention_pattern=()), "must be made of 'local' and 'global'"),
  ],
)
def test_config_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    _config(**changes)
