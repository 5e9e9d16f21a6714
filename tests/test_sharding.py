import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import common, registry

P = sharding.P

_4 = 'model', 'model_1'
_8 = *_4, 'model_2'
needs_8 = pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')


def test_a_mesh_uses_all_devices():
  with pytest.raises(ValueError, match='3x5 mesh needs 15 devices, got 2'):
    sharding.make_mesh(
      3, 5, jax.devices() * 2 if jax.device_count() == 1 else jax.devices()[:2]
    )


@needs_8
def test_every_parameter_has_a_place():
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  config = registry.make_config(
    'gemma2',
    vocab_size=32,
    num_layers=4,
    embed_dim=16,
    num_heads=8,
    num_kv_heads=2,
    head_dim=4,
    hidden_dim=24,
  )
  model = registry.make_model(config)
  shapes = jax.eval_shape(
    lambda key: model.stack(model.init(key)), jax.random.key(0)
  )
  partition = registry.family_of(config).partition
  placed = sharding.parameter_shardings(shapes, mesh, partition)
  # Without axes that divide nothing: programs are told apart by them.
  assert placed['embedding'].spec == P(_4)
  assert placed['final_norm']['scale'].spec == P()
  # A leading layer axis; four devices split two key-value heads in two.
  attention = placed['stack_0']['attention']
  assert attention['query'].spec == P(None, None, _4)
  assert attention['key'].spec == P(None, None, 'model')
  assert attention['out'].spec == P(None, _4)
  assert placed['stack_1']['ffw']['gate'].spec == P(None, None, _4)
  assert placed['stack_1']['ffw']['down'].spec == P(None, _4)


@needs_8
@pytest.mark.parametrize('shape', [(1, 1), (2, 1), (8, 1)])
def test_axes_of_one_device_are_not_named(shape):
  """Programs would be told apart by them, that are the same."""
  mesh = sharding.make_mesh(*shape, jax.devices()[: shape[0]])
  params = {'w': jax.ShapeDtypeStruct((8, 4), jnp.float32)}
  placed = sharding.parameter_shardings(params, mesh, {'w': P('model', None)})
  assert placed['w'].spec == P()


def test_a_parameter_without_a_spec_is_named():
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  params = {'layer': {'up': jnp.zeros((2, 4)), 'bias': jnp.zeros(2)}}
  with pytest.raises(ValueError, match="parameter layer.bias: add 'bias'"):
    sharding.parameter_shardings(params, mesh, {'up': P(None, 'model')})


@needs_8
def test_constrain_places_inside_a_mesh_only():
  x = jnp.zeros((4, 3, 8))
  constrain = lambda x: sharding.constrain(x, sharding.LOGITS)  # noqa: E731
  assert len(jax.jit(constrain)(x).sharding.device_set) == 1
  with jax.set_mesh(sharding.make_mesh(2, 4, jax.devices()[:8])):
    y = jax.jit(constrain)(x)
  assert y.sharding.shard_shape(y.shape) == (2, 3, 2)
  np.testing.assert_array_equal(x, y)


def _fully(mesh, shape, spec):
  mesh = sharding.make_mesh(*mesh, jax.devices()[:8])
  params = {'w': jax.ShapeDtypeStruct(shape, jnp.float32)}
  placed = sharding.parameter_shardings(params, mesh, {'w': spec}, fully=True)
  return placed['w']


@needs_8
@pytest.mark.parametrize(
  ('mesh', 'shape', 'spec', 'expected', 'told'),
  [
    # An axis goes where the table names it, the other to what is longest then.
    ((2, 4), (16, 8, 4), P(None, 'model', None), P('data', _4, None), 0),
    ((2, 4), (64, 8), P('model', None), P((*_4, 'data'), None), 0),
    ((2, 4), (16,), P(None), P((*_4, 'data')), 0),
    ((8, 1), (8, 24), P('model', None), P(None, 'data'), 0),
    ((1, 8), (8, 24), P('model', None), P(_8, None), 0),
    # Layers are never split: a scan takes one at a time.
    ((2, 4), (32, 16, 8), P(None, 'model'), P(None, 'data', _4), 0),
    # Two heads do not divide over four.
    (
      (2, 4),
      (16, 2, 6),
      P(None, 'model', None),
      P(('model_1', 'data'), 'model', None),
      1,
    ),
    ((2, 4), (3, 2), P(None, None), P(None, 'model'), 2),
    ((2, 4), (3, 5), P(None, None), P(None, None), 3),
  ],
)
def test_what_training_holds_is_split_over_both_axes(
  mesh, shape, spec, expected, told, caplog
):
  sharding._split.cache_clear()
  for _ in range(2):  # It is told once.
    own = _fully(mesh, shape, spec)
    placed = jax.NamedSharding(own.mesh, expected)
    assert own.is_equivalent_to(placed, len(shape))
  assert len(caplog.records) == told


@needs_8
def test_choices_are_told_in_a_line(caplog):
  sharding._split.cache_clear()
  _fully((2, 4), (16, 2, 7), P(None, 'model', None))
  _fully((2, 4), (1,), P(None))
  assert [record.getMessage() for record in caplog.records] == [
    "w (16, 2, 7): 2 devices of 'model_1' do not divide dimension 1, and split "
    'dimension 0 of it',
    "w (1,): 2 devices of 'model' divide none of it, and each holds it whole",
    "w (1,): 2 devices of 'model_1' divide none of it, and each holds it whole",
    "w (1,): 2 devices of 'data' divide none of it, and each holds it whole",
  ]


@needs_8
def test_a_gathered_parameter_has_its_gradient_in_parts():
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  partition = {'w': P(None, 'model')}
  x = jnp.arange(4.0 * 16).reshape(4, 16)
  outside = sharding.gather({'w': x}, partition)['w']
  assert len(outside.sharding.device_set) == 1

  def loss(w):
    y = sharding.gather({'w': w}, partition)['w']
    return (y**2).sum(), y

  with jax.set_mesh(mesh):
    gradient, y = jax.jit(jax.grad(loss, has_aux=True))(x)
  assert y.sharding.spec == P(None, _4)
  assert gradient.sharding.shard_shape(x.shape) == (2, 4)
  np.testing.assert_array_equal(gradient, 2 * x)


@needs_8
@pytest.mark.parametrize(
  ('mesh', 'shape', 'spec', 'ways', 'told'),
  [
    ((1, 8), (3, 8, 16, 32, 4), sharding.CACHE, (1, 1, 8, 1, 1), 0),
    ((2, 4), (3, 8, 16, 32, 4), sharding.CACHE, (1, 2, 4, 1, 1), 0),
    # Rows take what heads leave, as far as they go.
    ((1, 8), (3, 8, 4, 32, 4), sharding.CACHE, (1, 2, 4, 1, 1), 1),
    ((2, 4), (3, 8, 1, 32, 4), sharding.CACHE, (1, 8, 1, 1, 1), 1),
    ((2, 4), (3, 6, 2, 32, 4), sharding.CACHE, (1, 2, 2, 1, 1), 1),
    ((1, 8), (3, 1, 6, 32, 4), sharding.CACHE, (1, 1, 2, 1, 1), 1),
    ((8, 1), (3, 4, 6, 32, 4), sharding.CACHE, (1, 1, 1, 1, 1), 1),
    ((8, 1), (3, 16, 6, 32, 4), sharding.CACHE, (1, 8, 1, 1, 1), 0),
    ((2, 4), (5, 3, 8), sharding.LOGITS, (1, 1, 4), 1),
    ((1, 8), (4, 6, 20), sharding.LOGITS, (1, 1, 4), 1),
    ((1, 6), (4, 6, 10), sharding.LOGITS, (1, 1, 2), 1),
  ],
)
def test_arrays_are_split_as_far_as_axes_divide_them(
  mesh, shape, spec, ways, told, caplog
):
  sharding._fit.cache_clear()
  mesh = sharding.make_mesh(*mesh, jax.devices()[: mesh[0] * mesh[1]])
  for _ in range(2):  # It is told once.
    placed = jax.NamedSharding(mesh, sharding.fit(spec, shape, mesh, 'x'))
  assert placed.shard_shape(shape) == tuple(
    size // n for size, n in zip(shape, ways, strict=True)
  )
  assert len(caplog.records) == told


@needs_8
def test_what_heads_leave_is_told_in_a_line(caplog):
  sharding._fit.cache_clear()
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  sharding.fit(sharding.CACHE, (3, 6, 2, 32, 4), mesh, 'keys LxBxKxSxH')
  sharding.fit(sharding.P('model'), (3,), mesh, 'bias')
  mesh = sharding.make_mesh(8, 1, jax.devices()[:8])
  sharding.fit(sharding.CACHE, (3, 50, 2, 32, 4), mesh, 'keys LxBxKxSxH')
  assert [record.getMessage() for record in caplog.records] == [
    'keys LxBxKxSxH (3, 6, 2, 32, 4): 8 devices split dimension 1 in 2 and '
    'dimension 2 in 2; 2 hold each part',
    'bias (3,): 8 devices split nothing; 8 hold each part',
    'keys LxBxKxSxH (3, 50, 2, 32, 4): 8 devices do not divide the 50 rows, '
    'and each holds all of them',
  ]


@needs_8
def test_rows_are_over_those_of_the_mesh_that_arrays_lie_on():
  assert sharding.rows_over({'w': jnp.zeros(3)}) == 1
  for data, model in ((4, 2), (1, 8)):
    mesh = sharding.make_mesh(data, model, jax.devices()[:8])
    placed = jax.device_put(jnp.zeros(3), jax.NamedSharding(mesh, P()))
    assert sharding.rows_over({'w': placed}) == data


@needs_8
@pytest.mark.parametrize('rows', [1, 4])
def test_queries_go_where_their_keys_are(rows):
  """And attention is what it is on one device."""
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  q_BxTxNxH, k_BxKxSxH, v_BxKxSxH = (
    jax.random.normal(jax.random.key(i), shape)
    for i, shape in enumerate([(rows, 3, 8, 4), *[(rows, 2, 5, 4)] * 2])
  )

  def attend(q_BxTxNxH, k_BxKxSxH, v_BxKxSxH):
    kv = (
      sharding.constrain(x, sharding.CACHE[1:]) for x in (k_BxKxSxH, v_BxKxSxH)
    )
    return common.attend(q_BxTxNxH, *kv, jnp.ones((1, 1, 5), bool))

  args = q_BxTxNxH, k_BxKxSxH, v_BxKxSxH
  want = jax.jit(attend)(*args)
  heads = jax.NamedSharding(mesh, P(None, None, _8, None))
  with jax.set_mesh(mesh):
    made = (
      jax.jit(attend).lower(jax.device_put(args[0], heads), *args[1:]).compile()
    )
    got = made(jax.device_put(args[0], heads), *args[1:])
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
  assert ('all-to-all(' in made.as_text()) == (rows > 1)


@needs_8
def test_keys_stay_where_they_are():
  """Also where heads of queries leave devices, which hold them twice."""
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  q_BxTxNxH, kv_BxKxSxH = jnp.zeros((8, 1, 4, 8)), jnp.zeros((8, 2, 40, 8))
  placed = sharding.fit(sharding.CACHE[1:], kv_BxKxSxH.shape, mesh)
  kv_BxKxSxH = jax.device_put(kv_BxKxSxH, jax.NamedSharding(mesh, placed))

  def attend(q_BxTxNxH, k_BxKxSxH, v_BxKxSxH):
    kv = (
      sharding.constrain(x, sharding.CACHE[1:]) for x in (k_BxKxSxH, v_BxKxSxH)
    )
    q_BxTxNxH = sharding.constrain(q_BxTxNxH, sharding.HEADS)
    return common.attend(q_BxTxNxH, *kv, jnp.ones((1, 1, 40), bool))

  with jax.set_mesh(mesh):
    made = jax.jit(attend).lower(q_BxTxNxH, kv_BxKxSxH, kv_BxKxSxH).compile()
  gathered = re.findall(r'= f32\[(\S+)\]\S* all-gather\(', made.as_text())
  assert all('40,8' not in dims for dims in gathered)


@needs_8
@pytest.mark.parametrize(
  ('devices', 'heads', 'cache'),
  [
    (None, _8, ('data', None)),
    (4, _4, (('data', 'model_2'), None)),
    (2, 'model', (('data', 'model_1', 'model_2'), None)),
    (1, None, (('data', *_8), None)),
  ],
)
def test_a_drafter_is_split_over_fewer_devices(devices, heads, cache):
  """8 heads over so many of 8 devices; rows of its cache over what is left."""
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  with sharding.split_by(devices):
    assert sharding.fit(P(None, 'model'), (3, 8), mesh) == P(None, heads)
    rows, stack = sharding.fit(sharding.CACHE, (1, 8, 8, 5, 4), mesh)[1:3]
  rows = (rows,) if isinstance(rows, str) else rows
  want = (cache[0],) if isinstance(cache[0], str) else cache[0]
  assert (rows, stack) == (want, heads)
  assert sharding.fit(P(None, 'model'), (3, 8), mesh) == P(None, _8)


@pytest.mark.parametrize(('devices', 'factors'), [(3, (1,)), (2, (0,))])
def test_a_split_is_of_the_axes_whose_product_it_is(devices, factors):
  sizes = {'data': 1, 'model': 2, 'model_1': 3}
  with sharding.split_by(devices):
    found = sharding._splitting(sizes)
  assert found == tuple(list(sizes)[1:][i] for i in factors)


def test_devices_of_a_drafter_divide_those_of_models():
  sharding.check_splits(None, (1, 8))
  sharding.check_splits(4, (2, 8))
  for wrong in (3, 16, 0, -1):
    line = f'drafter_devices={wrong} must divide the 8 '
    with pytest.raises(ValueError, match=line):
      sharding.check_splits(wrong, (1, 8))
