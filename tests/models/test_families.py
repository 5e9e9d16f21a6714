"""Contract of a model family: every registered one must pass these tests."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import base, fusing, int8, registry
from speccascade.models import cache as cache_lib
from tests.models import test_int8

S, NEW, BLOCK = 9, 24, 3
LENGTH_B = np.array([1, 9, 4, 6])
B, T = len(LENGTH_B), NEW + BLOCK
FAMILIES = list(registry.FAMILIES.values())
EXAMPLES = [(family, c) for family in FAMILIES for c in family.examples]
IDS = [f'{f.name}-{i}' for f in FAMILIES for i in range(len(f.examples))]
# They share layers with the others, which need not be tested each time anew.
_ALIKE = ('gemma3', 'llama', 'qwen2')


def _cases(*alike):
  """With the layers as they are, and the last example of a family stacked."""
  cases = [(*x, False, i) for x, i in zip(EXAMPLES, IDS, strict=True)]
  cases += [(f, f.examples[-1], True, f'{f.name}-stacked') for f in FAMILIES]
  more = {True: pytest.mark.thorough, False: ()}
  return [
    pytest.param(*x, id=name, marks=more[x[0].name in alike or name in alike])
    for *x, name in cases
  ]


for_each_example = pytest.mark.parametrize(
  ('family', 'config'), EXAMPLES, ids=IDS
)
for_each_case = pytest.mark.parametrize(
  ('family', 'config', 'stacked'),
  _cases(*(f'{name}-stacked' for name in _ALIKE)),
)
for_each_family = pytest.mark.parametrize(
  'family', FAMILIES, ids=lambda f: f.name
)

for_some_families = pytest.mark.parametrize(
  'family',
  [
    pytest.param(
      f, id=f.name, marks=[pytest.mark.thorough] * (f.name in _ALIKE)
    )
    for f in FAMILIES
  ],
)


@dataclasses.dataclass(frozen=True)
class _Case:
  """A model with rough parameters, ragged prompts and what follows them.

  `fed_BxT` begins with the token that `prefill` asks for, and `logits_BxTxV`
  are those after each of its tokens, by one uncached pass: of int8 parameters,
  with the float ones that they stand for.
  """

  family: base.Family
  model: base.Model
  params: Any
  prompt_BxS: np.ndarray
  fed_BxT: np.ndarray
  logits_BxTxV: np.ndarray


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, *inputs):
  return model.forward(params, *inputs)


@functools.partial(jax.jit, static_argnums=0)
def _prefill(model, params, token_BxS, length_B):
  return model.prefill(params, token_BxS, length_B, new_tokens=NEW, block=BLOCK)


@functools.partial(jax.jit, static_argnums=0)
def _extend(model, params, cache, token_BxT):
  return model.extend(params, cache, token_BxT)


def _shapes(model):
  return jax.eval_shape(model.init, jax.random.key(0))


def _names(params):
  return {
    path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(params)
  }


@pytest.fixture(scope='module')
def make_case(float64):
  """Makes the case of an example, once, in double precision."""
  del float64
  made = {}

  def make(family, config, stacked=False, narrow=False):
    if (config, narrow) not in made:
      made[config, narrow] = _make_case(family, config, narrow)
    case = made[config, narrow]
    if not stacked:
      return case
    return dataclasses.replace(case, params=case.model.stack(case.params))

  return make


@pytest.fixture
def case(family, config, stacked, make_case):
  return make_case(family, config, stacked)


def _make_case(family, config, narrow=False):
  model = registry.make_model(dataclasses.replace(config, dtype='float64'))
  rng = np.random.default_rng(0)
  params = own = jax.tree.map(
    lambda x: 0.5 * rng.normal(size=x.shape), _shapes(model)
  )
  if narrow:
    own = int8.quantised(jax.tree.map(jnp.asarray, params))
    params = test_int8.meant(own)
  prompt_BxS, fed_BxT = rng.integers(0, model.vocab_size, (2, B, S + T))
  prompt_BxS, fed_BxT = prompt_BxS[:, :S], fed_BxT[:, :T]
  _, first_B = _prefill(model, params, prompt_BxS, LENGTH_B)
  fed_BxT[:, 0] = first_B
  if family.encodes_input:
    logits = _forward(model, params, prompt_BxS, LENGTH_B, fed_BxT)
  else:
    held_B = LENGTH_B - 1
    assert (first_B == prompt_BxS[np.arange(B), held_B]).all()
    rows = np.zeros((B, S + T), int)
    for row, prompt, held, fed in zip(
      rows, prompt_BxS, held_B, fed_BxT, strict=True
    ):
      row[:held], row[held : held + T] = prompt[:held], fed
    at_BxT = held_B[:, None] + np.arange(T)
    logits = _forward(model, params, rows)
    logits = np.take_along_axis(np.asarray(logits), at_BxT[..., None], 1)
  return _Case(family, model, own, prompt_BxS, fed_BxT, np.asarray(logits))


@for_each_case
def test_blocks_and_rewinds_equal_one_pass(case):
  _check_blocks(case)


@pytest.mark.parametrize(
  ('family', 'config', 'stacked'),
  _cases(*_ALIKE, 'gemma2-0', 'gemma4-stacked', 'qwen3-0', 't5-0'),
)
def test_blocks_of_int8_equal_one_pass(make_case, family, config, stacked):
  case = make_case(family, config, stacked, narrow=True)
  names = jax.tree_util.tree_leaves_with_path(case.params)
  if not any(int8.is_quantised(path[-1].key) for path, _ in names):
    pytest.skip('none of its parameters is held so')
  kinds = {x.dtype for x in jax.tree.leaves(case.params)}
  assert jnp.dtype('int8') in kinds
  _check_blocks(case)


def _check_blocks(case):
  """Ragged rows, random blocks kept in part.

  What is rewound was a wrong continuation, as a rejected draft is.
  """
  rng = np.random.default_rng(1)
  V = case.model.vocab_size
  assert case.logits_BxTxV.shape == (B, T, V)
  assert case.logits_BxTxV.std() > 0.1
  cache, _ = _prefill(case.model, case.params, case.prompt_BxS, LENGTH_B)
  start_B, done_B = np.asarray(cache.length_B), np.zeros(B, int)
  for i in range(40):
    width = (1, BLOCK)[i % 2]
    keep_B = np.minimum(rng.integers(0, width + 1, B), NEW - done_B)
    at_BxT = done_B[:, None] + np.arange(width)
    block = np.take_along_axis(case.fed_BxT, at_BxT, 1)
    wrong = np.arange(width) >= keep_B[:, None]
    block = np.where(wrong, (block + 1 + i) % V, block)
    logits, cache = _extend(case.model, case.params, cache, block)
    logits = np.asarray(logits)
    np.testing.assert_array_equal(cache.length_B, start_B + done_B + width)
    for b in range(B):
      np.testing.assert_allclose(
        logits[b, : keep_B[b]],
        case.logits_BxTxV[b, done_B[b] : done_B[b] + keep_B[b]],
        rtol=0,
        atol=1e-10,
      )
    done_B = done_B + keep_B
    cache = cache_lib.rewind(cache, jnp.asarray(start_B + done_B))
  assert (done_B == NEW).all()


@pytest.mark.parametrize('name', ['gemma2', 't5'])
def test_the_logits_of_one_token_of_each_row(make_case, name):
  """Of either kind of model; the cache is that of the whole block."""
  family = registry.FAMILIES[name]
  case = make_case(family, family.examples[0])
  cache, _ = _prefill(case.model, case.params, case.prompt_BxS, LENGTH_B)
  block = case.fed_BxT[:, :BLOCK]
  want_BxTxV, whole = _extend(case.model, case.params, cache, block)
  at_B = np.arange(B) % BLOCK
  got_Bx1xV, same = jax.jit(case.model.extend)(
    case.params, cache, block, jnp.asarray(at_B)
  )
  assert got_Bx1xV.shape == (B, 1, case.model.vocab_size)
  np.testing.assert_allclose(
    got_Bx1xV[:, 0], want_BxTxV[np.arange(B), at_B], rtol=0, atol=1e-10
  )
  jax.tree.map(np.testing.assert_array_equal, whole, same)


@for_each_case
def test_other_tokens_after_a_rewind_equal_a_fresh_cache(case):
  fresh, _ = _prefill(case.model, case.params, case.prompt_BxS, LENGTH_B)
  block = case.fed_BxT[:, :BLOCK]
  other = (block + 1) % case.model.vocab_size
  want, _ = _extend(case.model, case.params, fresh, other)
  first, used = _extend(case.model, case.params, fresh, block)
  assert np.abs(np.asarray(first) - np.asarray(want)).max() > 1e-3
  back = cache_lib.rewind(used, fresh.length_B)
  got, _ = _extend(case.model, case.params, back, other)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@for_each_case
def test_a_row_of_a_ragged_batch_equals_the_row_alone(case):
  """Alone: every row of the batch is that row, padded in its own way."""
  rng = np.random.default_rng(2)
  for b, length in enumerate(LENGTH_B):
    prompt_BxS = rng.integers(0, case.model.vocab_size, (B, S))
    prompt_BxS[:, :length] = case.prompt_BxS[b, :length]
    length_B = np.full(B, length)
    cache, first_B = _prefill(case.model, case.params, prompt_BxS, length_B)
    assert (np.asarray(first_B) == case.fed_BxT[b, 0]).all()
    block = np.repeat(case.fed_BxT[b : b + 1, :BLOCK], B, 0)
    logits, _ = _extend(case.model, case.params, cache, block)
    want = np.repeat(case.logits_BxTxV[b : b + 1, :BLOCK], B, 0)
    np.testing.assert_allclose(logits, want, rtol=0, atol=1e-10)


@for_some_families
def test_rows_decode_in_bfloat16(family, make_case):
  """Of which not every backend has every product."""
  config = family.examples[-1]
  case = make_case(family, config, stacked=True)
  model = registry.make_model(dataclasses.replace(config, dtype='bfloat16'))
  cache, _ = _prefill(model, case.params, case.prompt_BxS, LENGTH_B)
  held = {x.dtype for x in cache.keys if jnp.issubdtype(x.dtype, jnp.floating)}
  assert held <= {jnp.dtype('bfloat16')}
  got, _ = _extend(model, case.params, cache, case.fed_BxT[:, :BLOCK])
  want = case.logits_BxTxV[:, :BLOCK]
  assert np.abs(np.asarray(got) - want).max() < 0.15 * np.abs(want).max()


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
@pytest.mark.parametrize(
  ('data', 'model', 'narrow'),
  [
    pytest.param(2, 4, False, marks=pytest.mark.thorough),
    (2, 4, True),
    pytest.param(1, 8, True, marks=pytest.mark.thorough),
  ],
)
@for_some_families
def test_sharded_equals_unsharded(family, make_case, data, model, narrow):
  """With the layers stacked, which adds an axis."""
  case = make_case(family, family.examples[-1], stacked=True, narrow=narrow)
  mesh = sharding.make_mesh(data, model, jax.devices()[:8])
  placed = sharding.parameter_shardings(case.params, mesh, family.partition)
  params = jax.device_put(case.params, placed)
  assert not all(x.is_fully_replicated for x in jax.tree.leaves(placed))
  prompt_BxS, block = jax.device_put(
    (case.prompt_BxS, case.fed_BxT[:, :BLOCK]),
    jax.NamedSharding(mesh, sharding.BATCH),
  )

  @jax.jit
  def run(params, prompt_BxS, length_B, block):
    before, _ = _prefill(case.model, params, prompt_BxS, length_B)
    return before, *_extend(case.model, params, before, block)

  with jax.set_mesh(mesh):
    before, logits, after = run(params, prompt_BxS, LENGTH_B, block)
  shard = lambda x: x.sharding.shard_shape(x.shape)  # noqa: E731
  for x in jax.tree.leaves((before, after)):
    if x.ndim == 5:  # LxBxKxSxH
      heads = math.gcd(x.shape[2], model)
      rows = B // math.gcd(B, 8 // heads)  # What heads leave, and 'data'.
      assert shard(x) == (x.shape[0], rows, x.shape[2] // heads, *x.shape[3:])
  V = case.model.vocab_size
  assert shard(logits) == (B // data, BLOCK, V // math.gcd(V, model))
  np.testing.assert_allclose(
    logits, case.logits_BxTxV[:, :BLOCK], rtol=0, atol=1e-10
  )


@for_each_example
def test_the_partition_names_every_parameter(family, config):
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  shapes = _shapes(registry.make_model(config))
  shapes = jax.eval_shape(int8.quantised, shapes)
  sharding.parameter_shardings(shapes, mesh, family.partition)
  for path, x in jax.tree_util.tree_leaves_with_path(shapes):
    assert len(family.partition[path[-1].key]) <= x.ndim


def test_the_partitions_name_nothing_else(monkeypatch):
  """Families of decoders share one; large kernels are not laid by rows."""
  named = set().union(*(family.partition for family in FAMILIES))
  models = [registry.make_model(config) for _, config in EXAMPLES]
  narrow = [jax.eval_shape(int8.quantised, _shapes(model)) for model in models]
  fused = []
  for large in (fusing._LARGE, 0):
    monkeypatch.setattr(fusing, '_LARGE', large)
    fused += [
      jax.eval_shape(lambda x, model=model: model.fuse(x), x)
      for model, x in zip(models, narrow, strict=True)
    ]
  assert named == set().union(*map(_names, narrow + fused))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
@for_each_example
def test_parameters_and_logits_are_float32(family, config, dtype):
  model = registry.make_model(dataclasses.replace(config, dtype=dtype))
  token = jax.ShapeDtypeStruct((2, 3), jnp.int32)
  inputs = [token]
  if family.encodes_input:
    inputs = [token, jax.ShapeDtypeStruct((2,), jnp.int32), token]
  with jax.enable_x64(False):
    params = _shapes(model)
    logits = jax.eval_shape(model.forward, params, *inputs)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  assert logits.dtype == jnp.float32
  assert logits.shape == (2, 3, config.vocab_size)


@for_each_example
def test_the_registry_knows_the_config(family, config):
  assert registry.FAMILIES[family.name] is family
  assert registry.family_of(config) is family
  settings = dataclasses.asdict(config)
  assert registry.make_config(family.name, **settings) == config
  model = registry.make_model(config)
  assert model.config == config
  assert hash(model) == hash(registry.make_model(config))
  assert model.vocab_size == config.vocab_size


@for_each_example
def test_prompts_are_limited_to_the_trained_lengths(family, config):
  assert registry.limited(config, {}) == config
  assert registry.limited(config, dict(batch_size=3)) == config
  trained = dict.fromkeys(family.lengths.values(), 17)
  short = registry.limited(config, trained)
  model = registry.make_model(short)
  assert (short != config) == bool(family.lengths)
  if not family.lengths:
    return
  assert 0 < model.longest_prompt(5) <= model.longest_prompt(0) <= 17
  assert registry.with_lengths_of(config, short) == short
  for other in FAMILIES:
    if other is not family:
      assert (
        registry.with_lengths_of(other.examples[0], short)
        == (other.examples[0])
      )


@for_each_family
def test_wrong_settings_are_one_line(family):
  settings = dataclasses.asdict(family.examples[0])
  with pytest.raises(
    ValueError, match=f'of a {family.name} model: .*wings'
  ) as e:
    registry.make_config(family.name, **settings, wings=2)
  assert '\n' not in str(e.value)


def test_unknown_families_are_one_line():
  known = ', '.join(registry.FAMILIES)
  with pytest.raises(ValueError, match=f"family 't6'; known: {known}$"):
    registry.make_config('t6')
  with pytest.raises(ValueError, match='^dict is of no registered'):
    registry.make_model({})
