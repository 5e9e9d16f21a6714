import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.models import common, lone, registry

# Tiles of 16 keys, of which two parts have several each: float32 in both.
H, S, NEW, V = 32, 21, 60, 19
_SIZES = dict(
  vocab_size=V, embed_dim=24, num_heads=6, num_kv_heads=2, head_dim=H,
  hidden_dim=40, dtype='float32',
)  # fmt: skip
_OWN = {
  'gemma2': dict(num_layers=2, query_scalar=9.0, window=20),
  'gemma3': dict(num_layers=3, period=3, window=20, rope_base=100.0),
  'gemma4': dict(
    num_layers=3, period=3, window=20, num_global_kv_heads=1,
    global_head_dim=64, rope_fraction=0.7,
  ),
  'llama': dict(num_layers=2),
  'qwen2': dict(num_layers=2),
  'qwen3': dict(num_layers=2),
}  # fmt: skip


@pytest.fixture
def as_on_gpu(monkeypatch):
  """The kernels, interpreted; of float32, for which they are not used."""
  monkeypatch.setattr(
    jax.lax,
    'platform_dependent',
    lambda *x, default=None, **of: of.get('cuda', default)(*x),
  )
  monkeypatch.setattr(lone, '_INTERPRET', True)
  monkeypatch.setattr(lone, '_TYPES', (jnp.float32,))
  monkeypatch.setattr(lone, '_KEYS', 16)
  monkeypatch.setattr(lone, '_PARTS', 2)


def _normal(*shape, seed=0):
  random = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(random, jnp.float32)


@functools.cache
def _model(family):
  config = registry.make_config(family, **_SIZES | _OWN[family])
  model = registry.make_model(config)
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), jnp.float32), shapes
  )
  return model, model.fuse(params)


def _logits(family):
  """logits_TxV of a row whose tokens come one by one; the cache after them."""
  model, params = _model(family)
  token_1xS, fed_1xT = np.split(
    np.random.default_rng(1).integers(0, V, (1, S + NEW)), [S], 1
  )
  prefill = functools.partial(model.prefill, new_tokens=NEW, block=3)
  # Chunks as long as the window: what slides over it is a ring.
  cache, _ = prefill(params, token_1xS, np.array([S]))

  def step(cache, token):
    logits, cache = model.extend(params, cache, token[None, None])
    return cache, logits[0, 0]

  cache, logits_TxV = jax.jit(lambda c, t: jax.lax.scan(step, c, t))(
    cache, fed_1xT[0]
  )
  return logits_TxV, cache


@pytest.mark.parametrize('family', _OWN)
def test_tokens_one_by_one_are_what_xla_makes_of_them(
  family, request, monkeypatch
):
  """Past windows, and around rings; the cache, too."""
  want, cache = _logits(family)
  assert any(cache.rings) == family.startswith('gemma')
  request.getfixturevalue('as_on_gpu')
  calls = []

  def recorded(name, function):
    def call(*args, **named):
      calls.append(name)
      return function(*args, **named)

    monkeypatch.setattr(lone, name, call)

  recorded('join', lone.join)
  recorded('attend', lone.attend)
  found, made = _logits(family)
  assert {'join', 'attend'} == set(calls)
  # Sums of float32 in another order; logits are as large as 30.
  np.testing.assert_allclose(found, want, rtol=0, atol=1e-3)
  for x, y in zip(made.keys + made.values, cache.keys + cache.values,
                  strict=True):  # fmt: skip
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-4)


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize('after', [False, True])
@pytest.mark.parametrize('before', [False, True])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_branch_is_joined_as_by_xla(after, before, dtype, monkeypatch):
  """In parts of 8 numbers; of bfloat16 rounded wherever XLA rounds."""
  monkeypatch.setattr(lone, '_TYPES', (jnp.dtype(dtype),))
  x, y = (_normal(1, 1, 24, seed=i).astype(dtype) for i in range(2))
  scales = [
    _normal(24, seed=2 + i) if s else None
    for i, s in enumerate((after, before))
  ]
  norms = dict(epsilon=1e-6, offset=1)
  want = common.join(x, y, *scales, **norms, kept=False)
  found = lone.join(x, y, *scales, **norms)
  for one, other in zip(found, want, strict=True):
    assert (one is None) == (other is None)
    if one is not None:
      assert one.dtype == other.dtype == dtype
      # A sum in another order may round a bfloat16 to its neighbour.
      atol = {'float32': 1e-6, 'bfloat16': 2**-6}[dtype]
      np.testing.assert_allclose(
        *(z.astype(jnp.float32) for z in (one, other)), rtol=0, atol=atol
      )


def test_kernels_take_one_token_in_bfloat16():
  token = jnp.zeros((1, 1, 24), jnp.bfloat16)
  assert lone.is_lone(token)
  assert not lone.is_lone(token.astype(jnp.float32))
  assert not lone.is_lone(jnp.zeros((1, 2, 24), jnp.bfloat16))
  assert not lone.is_lone(jnp.zeros((3, 1, 24), jnp.bfloat16))


def test_kernels_are_left_out_where_jax_has_none(monkeypatch):
  monkeypatch.setattr(lone, 'triton', None)
  assert not lone.is_lone(jnp.zeros((1, 1, 24), jnp.bfloat16))


def test_attention_takes_heads_that_its_products_take():
  assert lone.attends(heads=8, width=256, layers=1)
  assert lone.attends(heads=16, width=32, layers=1)
  assert not lone.attends(heads=17, width=64, layers=1)
  assert not lone.attends(heads=8, width=96, layers=1)
  assert not lone.attends(heads=8, width=16, layers=1)
  assert not lone.attends(heads=8, width=64, layers=2)


@pytest.mark.parametrize('rows', [1, 3])
def test_a_decoder_asks_for_kernels_on_an_nvidia_gpu_alone(rows, monkeypatch):
  """Of the platforms that its programs are made for; of one row alone."""
  model, params = _model('gemma2')
  config = dataclasses.replace(model.config, dtype='bfloat16')
  model = registry.make_model(config)
  params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  token = jnp.zeros((rows, 4), jnp.int32)
  cache = jax.eval_shape(
    functools.partial(model.prefill, new_tokens=9, block=3),
    params, token, jnp.full(rows, 4),
  )[0]  # fmt: skip
  monkeypatch.setattr(lone, '_call', _called)
  traced = jax.jit(model.extend).trace(params, cache, token[:, :1])
  for platform in ('cuda', 'cpu', 'tpu'):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ('3.840000e+02' in text) == (platform == 'cuda' and rows == 1)


def _called(kernel, grid, args, out, aliases=None):
  """A constant instead of a kernel, for which there is no compiler here."""
  del kernel, grid, args, aliases
  return jax.tree.map(lambda x: jnp.full(x.shape, 384, x.dtype), out)
