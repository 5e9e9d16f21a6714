"""Stacks have the layers of each position of a period, in their order."""

import jax
import numpy as np
import pytest

from speccascade.models import registry, stacking


def _layers(number, first=0):
  """Layers that tell which they are."""
  return {
    f'layers_{i}': {
      'ffw': {'up': np.full((2, 3), first + i)},
      'scale': np.ones(4) * i,
    }
    for i in range(number)
  }


def _assert_same(got, want):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
  ('number', 'period', 'stacks', 'rest'),
  [
    (12, 1, [[*range(12)]], []),  # More than ten: names sort otherwise.
    (6, 2, [[0, 2, 4], [1, 3, 5]], []),
    (5, 2, [[0, 2], [1, 3]], [4]),
    (5, 3, [[0], [1], [2]], [3, 4]),
    (2, 3, [], [0, 1]),
    (0, 3, [], []),
  ],
)
def test_which_layers_are_where(number, period, stacks, rest):
  params = {'embedding': np.ones((5, 3)), **_layers(number)}
  stacked = stacking.stack(params, period)
  names = {'embedding'} | {f'layers_{i}' for i in rest}
  assert set(stacked) == names | {f'stack_{j}' for j in range(len(stacks))}
  found = stacking.stacks_of(stacked)
  assert [x['ffw']['up'][:, 0, 0].tolist() for x in found] == stacks
  assert all(x['ffw']['up'].shape[1:] == (2, 3) for x in found)
  assert stacking.steps(stacked) == number // period
  assert stacking.count(stacked) == len(rest)
  for (i, layer), want in zip(stacking.tail(stacked), rest, strict=True):
    assert i == want
    _assert_same(layer, params[f'layers_{i}'])
  _assert_same(stacking.unstack(stacked), params)
  _assert_same(stacking.unstack(params), params)


def test_more_than_ten_stacks_keep_their_order():
  params = _layers(24)
  found = stacking.stacks_of(stacking.stack(params, 12))
  assert [x['scale'][0, 0] for x in found] == list(range(12))
  _assert_same(stacking.unstack(stacking.stack(params, 12)), params)


def test_halves_are_stacked_apart():
  params = {
    'encoder': _layers(2) | {'final_norm': {'scale': np.ones(3)}},
    'decoder': _layers(3, first=7),
    'embedding': np.ones((5, 3)),
  }
  stacked = stacking.stack(params, 1)
  assert set(stacked) == set(params)
  up = lambda half: stacked[half]['stack_0']['ffw']['up'][:, 0, 0].tolist()  # noqa: E731
  assert (up('encoder'), up('decoder')) == ([0, 1], [7, 8, 9])
  _assert_same(stacking.unstack(stacked), params)


@pytest.mark.parametrize('name', registry.FAMILIES)
def test_models_stack_shapes_as_they_stack_arrays(name):
  """Of an example whose stacks have more than one step."""
  model = registry.make_model(registry.FAMILIES[name].examples[-1])
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(x.dtype), shapes
  )
  stacked = model.stack(params)
  told = lambda tree: jax.tree.map(lambda x: x.shape, tree)  # noqa: E731
  assert told(stacked) == told(jax.eval_shape(model.stack, shapes))
  assert stacking.steps(stacked.get('decoder', stacked)) > 1
  _assert_same(stacking.unstack(stacked), params)
