import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import common, fusing, int8, products

D, F = 5, 7
pytestmark = pytest.mark.usefixtures('float64')


def _lowered(function, platform, *args):
  traced = jax.jit(function).trace(*args)
  return traced.lower(lowering_platforms=(platform,)).as_text()


def _normal(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.fixture
def as_on_gpu(monkeypatch):
  monkeypatch.setattr(
    products.lax,
    'platform_dependent',
    lambda *x, default=None, **of: of.get('cuda', default)(*x),
  )


class _Project(nn.Module):
  shape: tuple[int, int] = (D, F)

  @nn.compact
  def __call__(self, x_BxTxD):
    return products.project(self, x_BxTxD, 'down', self.shape)


class _Out(nn.Module):
  @nn.compact
  def __call__(self, x_BxTxNxH):
    return products.merge_heads(self, x_BxTxNxH, F)


@pytest.mark.parametrize('of', ['kernel', 'lookup'])
def test_a_gpu_is_given_a_lone_token_eight_times(of):
  table_VxD = _normal(F, D)

  def function(x):
    if of == 'lookup':
      return common.embed(x, table_VxD, jnp.float64)
    return _Project().apply({'params': {'down': table_VxD.T}}, x)

  def input_of(*shape):
    if of == 'lookup':
      return jnp.arange(np.prod(shape)).reshape(shape) % F
    return jnp.ones((*shape, D))

  eight = 'tensor<1x8x'
  assert eight in _lowered(function, 'cuda', input_of(1, 1))
  assert eight not in _lowered(function, 'cpu', input_of(1, 1))
  assert eight not in _lowered(function, 'tpu', input_of(1, 1))
  for shape in ((1, 2), (3, 1)):  # As they are: there is no lone token.
    assert 'x8x' not in _lowered(function, 'cuda', input_of(*shape))


@pytest.mark.usefixtures('as_on_gpu')
def test_a_lone_token_given_eight_times_is_the_same():
  table_VxD = _normal(F, D)
  found = common.embed(jnp.array([[4]]), table_VxD, jnp.float64)
  np.testing.assert_array_equal(found, table_VxD[4][None, None])
  np.testing.assert_allclose(
    _Project().apply({'params': {'down': table_VxD.T}}, found)[0, 0],
    table_VxD @ table_VxD[4],
    rtol=1e-14,
  )


def _by_rows(of, narrow):
  """(function of an input and parameters, those and by rows, an input)."""
  if of == 'table':
    params, x = {'embedding': _normal(F, D)}, _normal(1, 1, D)
    function = lambda x, p: common.unembed(x, *p.values())  # noqa: E731
  elif of == 'down':
    params, x = {'down': _normal(D, F)}, _normal(1, 1, D)
    function = lambda x, p: _Project().apply({'params': p}, x)  # noqa: E731
  else:
    params, x = {'out': _normal(2, D, F)}, _normal(1, 1, 2, D)
    function = lambda x, p: _Out().apply({'params': p}, x)  # noqa: E731
  if narrow:
    params = int8.quantised(params)
  return function, params, fusing.by_rows(dict(params)), x


@pytest.mark.parametrize('narrow', [False, True])
@pytest.mark.parametrize('of', ['table', 'down', 'out'])
def test_of_weights_by_rows_a_gpu_sums_a_lone_token(of, narrow, request):
  """And multiplies more tokens, as other platforms do a lone one."""
  function, params, rows, x = _by_rows(of, narrow)
  assert of == 'table' or set(rows) & set(params) == set()
  more = jnp.concatenate([x, -x, 3 * x])
  want, of_more = function(x, params), function(more, params)
  np.testing.assert_allclose(function(x, rows), want, rtol=1e-13)
  np.testing.assert_allclose(function(more, rows), of_more, rtol=1e-13)

  def product_in(platform, x):
    return 'dot_general' in _lowered(function, platform, x, rows)

  assert not product_in('cuda', x)
  assert product_in('cuda', more)
  assert product_in('cpu', x)
  assert product_in('tpu', x)
  request.getfixturevalue('as_on_gpu')
  np.testing.assert_allclose(function(x, rows), want, rtol=1e-13)


@pytest.mark.usefixtures('as_on_gpu')
def test_a_lone_token_is_summed_in_float32():
  """Of bfloat16, whose sum of many ones would end at 256."""
  ones = functools.partial(jnp.ones, dtype=jnp.bfloat16)
  params = {'down_rows': ones((1, 1000))}
  found = _Project((1000, 1)).apply({'params': params}, ones((1, 1, 1000)))
  assert found.dtype == jnp.bfloat16
  assert float(found[0, 0, 0]) == 1000


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize('narrow', [False, True])
def test_devices_that_divide_a_table_sum_their_own_words(narrow):
  params = {'embedding': _normal(4 * F, D)}
  if narrow:
    params = int8.quantised(params)
  x = _normal(1, 1, D)
  want = common.unembed(x, *params.values())
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  with jax.set_mesh(mesh):
    words = {2: jax.P('model', None), 1: jax.P('model')}
    table = [jax.device_put(w, words[w.ndim]) for w in params.values()]
    made = jax.jit(common.unembed)
    text = made.lower(x, *table).compile().as_text()
    found = made(x, *table)
  assert 'all-gather' not in text
  assert ' dot(' not in text
  assert found.sharding.shard_shape(found.shape) == (1, 1, F)
  np.testing.assert_allclose(found, want, rtol=1e-13)
