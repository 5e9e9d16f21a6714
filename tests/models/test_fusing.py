import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import pairs, sharding
from speccascade.models import fusing, registry
from speccascade.studies import shapes

FUSED = {'query_key_value', 'up_gate'}
APART = {'query', 'key', 'value', 'up', 'gate'}


def _names(params):
  return {
    path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(params)
  }


def _normal(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.fixture
def on_gpu(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


@pytest.mark.usefixtures('on_gpu')
def test_a_gpu_that_has_whole_models_fuses_them():
  """By default; devices that split heads would exchange what is fused."""

  def of(*sizes):
    return sharding.make_mesh(*sizes, jax.devices()[: np.prod(sizes)])

  assert fusing.by_default(None)
  assert fusing.by_default(of(1, 1))
  assert fusing.by_default(of(4, 1))
  assert not fusing.by_default(of(1, 4))
  assert not fusing.by_default(of(2, 2))


def test_a_cpu_does_not():
  assert not fusing.by_default(None)


def test_what_is_fused_lies_side_by_side():
  """Cut by heads or width, it is what it was; the first group counts."""
  attention = {'query': _normal(5, 4, 3), 'key': _normal(5, 2, 3)}
  attention['value'] = _normal(5, 2, 3) + 1
  own = {
    'attention': dict(attention),
    'shared': {x: attention[x] for x in ('query', 'key')},
    'ffw': {'up': _normal(5, 6), 'gate': _normal(5, 6) + 1, 'down': _normal(6)},
  }
  made = fusing.fuse(own, fusing.ATTENTION + fusing.FEED_FORWARD)
  assert made is own
  assert {name: set(x) for name, x in made.items()} == {
    'attention': {'query_key_value'},
    'shared': {'query_key'},
    'ffw': {'up_gate', 'down'},
  }
  parts = jnp.split(made['attention']['query_key_value'], (4, 6), 1)
  for part, x in zip(parts, attention.values(), strict=True):
    np.testing.assert_array_equal(part, x)
  up, gate = jnp.split(made['ffw']['up_gate'], 2, 1)
  np.testing.assert_array_equal(gate, up + 1)


def test_a_pair_is_fused_where_it_is_asked_for(request):
  """Or on a GPU; never one that is to be trained."""
  load = lambda **how: pairs.load('translation', stacked=False, **how)  # noqa: E731
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  apart = load()
  fused = load(fused=True)
  request.getfixturevalue('on_gpu')
  chosen = load()
  trained = load(mesh=mesh, fully=True)
  for role in 'drafter', 'verifier':
    names = lambda pair, role=role: _names(getattr(pair, f'{role}_params'))  # noqa: E731
    assert names(fused) == names(chosen)
    assert names(apart) == names(trained)
    assert names(fused) - names(apart) <= FUSED
    assert not names(fused) & {'up', 'gate'}
    assert names(apart) & APART
  assert fused.digests == apart.digests
  token = np.random.default_rng(0).integers(2, 90, (3, 7), np.int32)
  length_B = np.array([7, 1, 4], np.int32)
  for role in 'drafter', 'verifier':
    model = getattr(apart, role)
    logits = [
      model.forward(getattr(pair, f'{role}_params'), *inputs)
      for pair in (apart, fused)
      for inputs in [
        (token, length_B, token)
        if registry.family_of(model.config).encodes_input
        else (token,)
      ]
    ]
    # Sums of float32 in another order.
    np.testing.assert_allclose(*logits, rtol=0, atol=1e-4)


@pytest.mark.usefixtures('on_gpu')
def test_models_of_shapes_are_fused(monkeypatch):
  def zeros(placed, seed):
    del seed
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), placed)

  monkeypatch.setattr(shapes, '_weights', zeros)
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  names = ('smollm2_135m', 'smollm2_135m')
  made = shapes.pair(names, (None, 'int8'), 'bfloat16', mesh, stacked=False)
  assert _names(made.params[0]) & (FUSED | APART) == FUSED
  scales = {f'{name}_scale' for name in FUSED}
  assert scales <= _names(made.params[1])
