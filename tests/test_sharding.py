import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import registry

P = sharding.P

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
  assert placed['embedding'].spec == P('model', None)
  assert placed['final_norm']['scale'].spec == P(None)
  # A leading layer axis; two key-value heads do not divide over four.
  attention = placed['stack_0']['attention']
  assert attention['query'].spec == P(None, None, 'model', None)
  assert attention['key'].spec == P(None, None, None, None)
  assert attention['out'].spec == P(None, 'model', None, None)
  assert placed['stack_1']['ffw']['gate'].spec == P(None, None, 'model')
  assert placed['stack_1']['ffw']['down'].spec == P(None, 'model', None)


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


def test_kernels_of_attention_are_laid_out_by_head():
  """Where a platform wants it; values stay, and programs take them so."""
  x = jnp.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5)
  want = np.asarray(x).copy()
  assert sharding.laid_out('query', x) is x  # No TPU.
  assert sharding.laid_out('out', x, platform='cpu') is x
  y = sharding.laid_out('query', x, platform='cpu')
  assert y.format.layout.major_to_minor == (0, 2, 1, 3)
  np.testing.assert_array_equal(y, want)
  np.testing.assert_array_equal(jax.jit(lambda y: y + 1)(y), want + 1)
  single = sharding.laid_out('value', jnp.ones((3, 4, 5)), platform='cpu')
  assert single.format.layout.major_to_minor == (1, 0, 2)
  like = jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=y.sharding)
  placed = sharding.laid_out('key', like, platform='cpu')
  assert placed.format.layout.major_to_minor == (0, 2, 1, 3)
