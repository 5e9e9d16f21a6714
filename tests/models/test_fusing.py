import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import pairs, sharding
from speccascade.models import fusing, registry
from speccascade.studies import shapes
from tests.models import test_families as contract

FUSED = {'query_key_value_rows', 'up_gate_rows'}
TURNED = {'out_rows', 'down_rows'}
APART = {'query', 'key', 'value', 'up', 'gate'}

make_case = contract.make_case
_names = contract._names


def _normal(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.fixture
def on_gpu(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


@pytest.mark.usefixtures('on_gpu')
def test_a_gpu_that_has_whole_models_fuses_them():
  """By default; devices that split heads would exchange what is fused.

  Stacks would be held twice.
  """

  def of(*sizes):
    return sharding.make_mesh(*sizes, jax.devices()[: np.prod(sizes)])

  assert fusing.by_default(None, False)
  assert fusing.by_default(of(1, 1), False)
  assert fusing.by_default(of(4, 1), False)
  assert not fusing.by_default(None, True)
  assert not fusing.by_default(of(1, 4), False)
  assert not fusing.by_default(of(2, 2), False)


def test_a_cpu_does_not():
  assert not fusing.by_default(None, False)


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


def test_weights_of_an_output_lie_in_a_row():
  """Of each layer of a stack; scales of int8 are those of outputs already."""
  out, down = _normal(7, 4, 3, 5), _normal(7, 6, 5)
  scale = _normal(7, 5)
  own = {'attention': {'out': out}, 'ffw': {'down': down, 'down_scale': scale}}
  made = fusing.by_rows(own)
  assert made is own
  np.testing.assert_array_equal(
    made['attention'].pop('out_rows'), np.moveaxis(out, 3, 1)
  )
  np.testing.assert_array_equal(
    made['ffw'].pop('down_rows'), np.moveaxis(down, 2, 1)
  )
  np.testing.assert_array_equal(made['ffw'].pop('down_rows_scale'), scale)
  assert made == {'attention': {}, 'ffw': {}}


def test_large_kernels_stay_by_columns(monkeypatch):
  """What reads a block as well is what takes longest of a large model."""
  own = {'down': _normal(6, 5), 'out': _normal(4, 3, 5)}
  monkeypatch.setattr(fusing, '_LARGE', own['out'].nbytes)
  assert set(fusing.by_rows(dict(own))) == {'down_rows', 'out'}
  monkeypatch.undo()
  assert set(fusing.by_rows(dict(own))) == {'down_rows', 'out_rows'}


def _fused_cases():
  """Each family both ways or neither; one family one way as well.

  Of those alike qwen2 alone, which has biases.
  """
  alike, cases = contract._ALIKE, []
  for family in contract.FAMILIES:
    for stacked, narrow in itertools.product((False, True), repeat=2):
      few = family.name == 'gemma2' or stacked == narrow
      few &= family.name not in alike or (family.name == 'qwen2' and narrow)
      marks = [pytest.mark.thorough] * (not few)
      name = f'{family.name}-{stacked}-{narrow}'
      cases.append(pytest.param(family, stacked, narrow, id=name, marks=marks))
  return cases


@pytest.mark.parametrize(('family', 'stacked', 'narrow'), _fused_cases())
def test_fused_kernels_give_the_same(family, make_case, stacked, narrow):
  """Of ragged rows; and nothing that is fused is left apart."""
  case = make_case(family, family.examples[-1], stacked, narrow)
  own = jax.tree.map(jnp.asarray, case.params)
  names, size = _names(own), sum(x.size for x in jax.tree.leaves(own))
  fused = case.model.fuse(own)
  assert fused is own
  if 'gate' in names:
    assert not {'up', 'gate', 'up_scale', 'gate_scale'} & _names(fused)
    assert ('up_scale' in names) == ('up_gate_rows_scale' in _names(fused))
  assert not {'out', 'down', 'out_scale', 'down_scale'} & _names(fused)
  if not family.encodes_input:
    assert not {'query', 'key', 'value', 'query_scale'} & _names(fused)
  assert sum(x.size for x in jax.tree.leaves(fused)) == size
  cache, _ = contract._prefill(
    case.model, fused, case.prompt_BxS, contract.LENGTH_B
  )
  block_BxT = case.fed_BxT[:, : contract.BLOCK]
  logits, _ = contract._extend(case.model, fused, cache, block_BxT)
  np.testing.assert_allclose(
    logits, case.logits_BxTxV[:, : contract.BLOCK], rtol=0, atol=1e-10
  )


@pytest.mark.parametrize('stacked', [False, True])
@contract.for_each_family
def test_what_is_taken_apart_is_what_was_fused(family, make_case, stacked):
  """Every family's last example, with queries of as many heads or more."""
  params = make_case(family, family.examples[-1], stacked).params
  own = jax.tree.map(jnp.asarray, params)
  again = fusing.apart(registry.make_model(family.examples[-1]).fuse(own))
  jax.tree.map(np.testing.assert_array_equal, again, params)


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
    assert names(fused) - names(apart) <= FUSED | TURNED
    assert not names(fused) & {'up', 'gate', 'out', 'down'}
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
