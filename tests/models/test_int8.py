import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import common, int8, registry

pytestmark = pytest.mark.usefixtures('float64')

SHAPES = {
  'embedding': ((7, 5), (7,)),
  'lm_head': ((7, 5), (7,)),
  'query': ((5, 4, 3), (4, 3)),
  'key': ((5, 2, 3), (2, 3)),
  'value': ((5, 2, 3), (2, 3)),
  'out': ((4, 3, 5), (5,)),
  'gate': ((5, 6), (6,)),
  'up': ((5, 6), (6,)),
  'down': ((6, 5), (5,)),
}


def _normal(*shape):
  return np.random.default_rng(0).normal(size=shape)


def _spread(name, scale, like):
  """The scale on the axes of what it scales."""
  axes = [i for i in range(-like.ndim, 0) if i in int8._SUMMED[name]]
  return np.expand_dims(np.asarray(scale, float), axes)


def meant(params):
  """The float parameters that int8 ones stand for."""
  found = {}
  for name, x in params.items():
    if isinstance(x, dict):
      found[name] = meant(x)
    elif int8.is_quantised(name):
      scale = params[int8.scale_of(name)]
      found[name] = np.asarray(x) * _spread(name, scale, x)
    elif not int8.is_quantised(name.removesuffix('_scale')):
      found[name] = x
  return found


@pytest.mark.parametrize('stack', [(), (3,)])
@pytest.mark.parametrize('name', SHAPES)
def test_what_is_quantised_is_near(name, stack):
  """Half a step at most, and the largest number of a channel is 127."""
  shape, channels = SHAPES[name]
  w = _normal(*stack, *shape)
  q, scale = int8.quantise(name, jnp.asarray(w))
  assert (q.dtype, scale.dtype) == (jnp.int8, jnp.float32)
  assert q.shape == w.shape
  assert scale.shape == int8.scale_shape(name, w.shape) == (*stack, *channels)
  own = _spread(name, scale, w)
  assert (np.abs(w - own * q) <= own / 2 * (1 + 1e-12)).all()
  summed = tuple(i for i in range(w.ndim) if own.shape[i] < w.shape[i])
  np.testing.assert_array_equal(np.abs(q).max(summed), 127)
  # The layers of a stack are each themselves.
  for i in range(sum(stack)):
    alone = int8.quantise(name, jnp.asarray(w[i]))
    np.testing.assert_array_equal(alone[0], q[i])
    np.testing.assert_array_equal(alone[1], scale[i])


def test_a_channel_of_zeros_stays_zero():
  table_VxD = jnp.asarray(_normal(7, 5)).at[3].set(0)
  q, scale = int8.quantise('embedding', table_VxD)
  assert not q[3].any()
  assert scale[3] == 0


def test_products_are_those_of_what_is_meant():
  """Of kernels, on both sides of the table, and of lone tokens."""
  ffw = common.FeedForward(6, 'silu')
  x_BxTxD = _normal(3, 2, 5)
  shapes = jax.eval_shape(ffw.init, jax.random.key(0), x_BxTxD)['params']
  params = int8.quantised(
    jax.tree.map(lambda x: jnp.asarray(_normal(*x.shape)), shapes)
  )
  for x in (x_BxTxD, x_BxTxD[:1, :1]):
    got = ffw.apply({'params': params}, x)
    want = ffw.apply({'params': meant(params)}, x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
  q, scale = params['up'].T, params['up_scale']
  table_VxD = np.asarray(q) * np.asarray(scale, float)[:, None]
  got = common.unembed(x_BxTxD, q, scale)
  np.testing.assert_allclose(got, x_BxTxD @ table_VxD.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize('parts', [False, True])
def test_a_lookup_is_scaled(monkeypatch, parts):
  if parts:
    monkeypatch.setattr(common, '_LOOKED_UP', 7 * 5)
    monkeypatch.setattr(common, '_PART', 1)
  token_BxT = np.random.default_rng(0).integers(0, 50, (3, 11))
  q, scale = int8.quantise('embedding', jnp.asarray(_normal(50, 5)))
  table_VxD = np.asarray(q) * np.asarray(scale, float)[:, None]
  got = common.embed(token_BxT, q, jnp.float64, scale)
  np.testing.assert_allclose(got, table_VxD[token_BxT], rtol=1e-15)
  got = common.embed(token_BxT, q, jnp.bfloat16, scale)
  assert got.dtype == jnp.bfloat16
  # Rounded once.
  np.testing.assert_allclose(
    got.astype(float), table_VxD[token_BxT], rtol=1.001 * 2**-8
  )


def test_norms_biases_and_positions_stay():
  for family in registry.FAMILIES.values():
    for config in family.examples:
      init = registry.make_model(config).init
      shapes = jax.eval_shape(
        lambda key, init=init: int8.quantised(init(key)), jax.random.key(0)
      )
      flat = jax.tree_util.tree_leaves_with_path(shapes)
      narrow = {p[-1].key for p, x in flat if x.dtype == jnp.int8}
      assert narrow <= set(SHAPES)
      kept = {p[-1].key for p, x in flat if x.dtype != jnp.int8}
      assert not kept & set(SHAPES)
      assert {name for name in kept if name.endswith('_scale')} == {
        f'{name}_scale' for name in narrow
      }


def test_a_scale_is_split_as_the_axes_that_it_has():
  P = sharding.P
  of = {'query': P(None, 'model', None), 'out': P('model', None, None)}
  found = int8.partition(of | {'embedding': P('model', None), 'scale': P(None)})
  scales = {k: v for k, v in found.items() if k.endswith('_scale')}
  assert scales == {
    'query_scale': P('model', None),
    'out_scale': P(None),
    'embedding_scale': P('model'),
  }


def test_a_bad_choice_is_one_line():
  with pytest.raises(ValueError, match="^x='int4' must be None or 'int8'$"):
    int8.check('int4', 'x')
  for choice in (None, 'int8'):
    int8.check(choice)


def test_int8_is_refused_where_float_is_needed():
  params = {'up': jnp.zeros((3, 2)), 'scale': jnp.zeros(3)}
  int8.refuse(params, 'trained')
  int8.refuse(None, 'trained')
  with pytest.raises(ValueError, match='^int8 weights are not trained: load'):
    int8.refuse({'layer': int8.quantised(params)}, 'trained')
