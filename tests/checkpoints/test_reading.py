import dataclasses
import hashlib
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import checkpoints, sharding
from speccascade.checkpoints import (
  hugging_face,
  native,
  opened,
  orbax,
  reading,
  shards,
  tensors,
)
from speccascade.models import int8, registry
from tests.checkpoints import random_model

needs_8 = pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')

CASES = [('gemma3', False), ('gemma3', True), ('t5', True), ('qwen2', True)]


def _save(path, config):
  params = random_model.params(config)
  native.save(path, config, params, 'float32')
  return registry.make_model(config), params


@pytest.fixture(autouse=True)
def small_boxes(monkeypatch):
  """Every tensor is read in several boxes."""
  monkeypatch.setattr(tensors, '_BYTES', 100)


@needs_8
@pytest.mark.parametrize(('name', 'stacked'), CASES)
def test_parameters_come_into_the_shards_of_a_mesh(tmp_path, name, stacked):
  """They are those of one device, each where its family tells."""
  family = registry.FAMILIES[name]
  config = family.examples[0]
  model, params = _save(tmp_path / 'm', config)
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  want = model.stack(params) if stacked else params
  placed = sharding.parameter_shardings(want, mesh, family.partition)
  load = dict(mesh=mesh, stacked=stacked)
  found_config, found = checkpoints.load(tmp_path / 'm', **load)
  assert found_config == config
  random_model.assert_equal(found, want)
  assert jax.tree.map(lambda x: x.sharding, found) == placed
  shapes = reading.shapes(checkpoints.open(tmp_path / 'm'), **load)
  for x, y in zip(jax.tree.leaves(shapes), jax.tree.leaves(found), strict=True):
    assert (x.shape, x.dtype, x.sharding) == (y.shape, y.dtype, y.sharding)


def test_stacks_on_one_device(tmp_path):
  config = registry.FAMILIES['gemma3'].examples[0]
  model, params = _save(tmp_path / 'm', config)
  found = checkpoints.load(tmp_path / 'm', stacked=True)[1]
  assert 'stack_0' in found
  random_model.assert_equal(found, model.stack(params))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize(('name', 'stacked'), CASES)
def test_int8_is_made_of_what_is_stored(tmp_path, name, stacked, dtype):
  """Whatever is computed in; the rest is of that type, scales are float32."""
  family = registry.FAMILIES[name]
  model, params = _save(tmp_path / 'm', family.examples[0])
  want = int8.quantised(jax.tree.map(jnp.asarray, params))
  want = model.stack(want) if stacked else want
  load = dict(stacked=stacked, weights='int8')
  _, found = checkpoints.load(tmp_path / 'm', dtype, **load)
  assert jax.tree.structure(found) == jax.tree.structure(want)
  for (path, x), y in zip(
    jax.tree_util.tree_leaves_with_path(found),
    jax.tree.leaves(want),
    strict=True,
  ):
    other = dtype if y.dtype == jnp.float32 else 'int8'
    other = 'float32' if path[-1].key.endswith('_scale') else other
    assert x.dtype == jnp.dtype(other)
    np.testing.assert_array_equal(x, y.astype(other))
  told = checkpoints.open(tmp_path / 'm', dtype)
  shapes = reading.shapes(told, **load)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(
    lambda x: (x.shape, x.dtype), found
  )


@needs_8
@pytest.mark.parametrize('mesh', [(2, 4), (1, 8)])
def test_int8_comes_into_the_shards_of_a_mesh(tmp_path, mesh):
  family = registry.FAMILIES['gemma3']
  _save(tmp_path / 'm', family.examples[0])
  mesh = sharding.make_mesh(*mesh, jax.devices()[:8])
  load = dict(stacked=True, weights='int8')
  _, want = checkpoints.load(tmp_path / 'm', **load)
  _, found = checkpoints.load(tmp_path / 'm', mesh=mesh, **load)
  random_model.assert_equal(found, want)
  placed = sharding.parameter_shardings(want, mesh, family.partition)
  assert jax.tree.map(lambda x: x.sharding, found) == placed
  assert not found['embedding'].is_fully_replicated


@pytest.mark.parametrize('stacked', [False, True])
def test_one_parameter_at_most_is_float_beside_int8(
  checkpoint, monkeypatch, stacked
):
  assemble, alive = shards.assemble, []

  def watched(*args):
    assert not [x for x in alive if x() is not None]
    x = assemble(*args)
    if int8.is_quantised(args[0].tensor.name):
      alive.append(weakref.ref(x))
    return x

  monkeypatch.setattr(shards, 'assemble', watched)
  reading.load(checkpoint, stacked=stacked, weights='int8')
  assert len(alive) > 8


def test_another_digest_tells_int8(checkpoint):
  own, narrow = (
    reading.load(checkpoint, weights=x).digest for x in (None, 'int8')
  )
  assert own == checkpoint.checksum != narrow
  assert len(narrow) == len(own)


def test_int8_is_not_loaded_for_training_nor_saved(tmp_path, checkpoint):
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  with pytest.raises(ValueError, match="^weights='int8' cannot be trained; le"):
    reading.load(checkpoint, mesh, fully=True, weights='int8')
  with pytest.raises(
    ValueError, match="^weights='int4' must be None or 'int8'"
  ):
    reading.load(checkpoint, weights='int4')
  found = reading.load(checkpoint, weights='int8')
  for kind in (native, hugging_face, orbax):
    with pytest.raises(ValueError, match='^int8 weights are not saved: load '):
      kind.save(tmp_path / kind.__name__, found.config, found.params)


@pytest.fixture
def checkpoint(tmp_path):
  config = registry.FAMILIES['qwen2'].examples[0]
  _save(tmp_path / 'm', config)
  return checkpoints.open(tmp_path / 'm')


def _watched(checkpoint):
  """The checkpoint, and a list that gets (name, box) of all that is read."""
  read = []

  def watch(tensor):
    def fetch(box):
      read.append((tensor.name, box))
      return tensor.fetch(box)

    return dataclasses.replace(tensor, fetch=fetch)

  own = {name: watch(x) for name, x in checkpoint.tensors.items()}
  return dataclasses.replace(checkpoint, tensors=own), read


@needs_8
@pytest.mark.parametrize('stacked', [False, True])
def test_every_byte_is_read_once(checkpoint, stacked):
  """For the digest, too, and for shards of columns on several devices."""
  watched, read = _watched(checkpoint)
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  found = reading.load(watched, mesh, stacked)
  for name, x in checkpoint.tensors.items():
    times = np.zeros(x.shape, int)
    for box in (box for other, box in read if other == name):
      times[box] += 1
    np.testing.assert_array_equal(times, 1)
  assert found.digest == reading.load(checkpoint).digest


def test_no_weight_is_read_of_what_does_not_fit(checkpoint):
  watched, read = _watched(checkpoint)
  del watched.tensors['final_norm.scale']
  for call in (opened.sources, reading.load, reading.shapes):
    with pytest.raises(ValueError, match=r'1 missing \(final_norm\.scale\)'):
      call(watched)
  reading.shapes(checkpoint)
  assert not read


def test_a_digest_tells_values_names_and_configuration(tmp_path, checkpoint):
  plain = dataclasses.replace(checkpoint, checksum=None)
  again = reading.load(plain).digest
  assert again == checkpoint.checksum
  flipped = dict(checkpoint.tensors)
  x = np.asarray(flipped['embedding']).copy()
  x[-1, -1] += 1
  flipped['embedding'] = tensors.held('embedding', tmp_path, x)
  for other in (
    dataclasses.replace(plain, tensors=flipped),
    dataclasses.replace(plain, header=b'x'),
  ):
    assert reading.load(other).digest != again
  with pytest.raises(ValueError, match='it does not have the SHA-256 that it'):
    reading.load(dataclasses.replace(checkpoint, tensors=flipped))
  with pytest.raises(ValueError, match='it does not have the SHA-256 that it'):
    reading.verify(dataclasses.replace(checkpoint, tensors=flipped))
  reading.verify(checkpoint)


def test_a_digest_of_other_formats_tells_shapes_and_types(tmp_path):
  x = np.zeros((2, 3), np.float32)
  held = lambda x: {'x': tensors.held('x', tmp_path, x)}  # noqa: E731
  headers = {
    opened.header({'a': 1}, held(x)),
    opened.header({'a': 2}, held(x)),
    opened.header({'a': 1}, held(x.T)),
    opened.header({'a': 1}, held(x.astype(np.float16))),
  }
  assert len({hashlib.sha256(x).digest() for x in headers}) == 4


def test_a_vocabulary_is_cut(checkpoint):
  """Rows of padding are read for the digest and kept by no device."""
  whole = reading.load(checkpoint)
  rows = whole.config.vocab_size - 3
  found = reading.load(opened.cut(checkpoint, rows))
  assert found.config.vocab_size == rows
  assert found.digest == whole.digest
  tables = {
    name: whole.params[name][:rows] for name in ('embedding', 'lm_head')
  }
  want = whole.params | tables
  random_model.assert_equal(found.params, want)


def test_a_bad_value_of_a_shard_is_told(checkpoint):
  x = np.asarray(checkpoint.tensors['final_norm.scale']).copy()
  x[-1] = np.inf
  bad = tensors.held('final_norm.scale', checkpoint.path, x)
  own = checkpoint.tensors | {'final_norm.scale': bad}
  with pytest.raises(ValueError, match="m: tensor 'final_norm.scale' has val"):
    reading.load(dataclasses.replace(checkpoint, tensors=own))


def test_parameters_are_of_the_compute_type(tmp_path, checkpoint):
  found = checkpoints.load(checkpoint.path, 'bfloat16')[1]
  kinds = {x.dtype for x in jax.tree.leaves(found)}
  assert kinds == {jnp.dtype('bfloat16')}


def test_a_bar_is_shown_on_a_terminal_only(checkpoint, monkeypatch):
  bars = []

  class Bar:
    def __init__(self, **options):
      self.options, self.bytes = options, 0
      bars.append(self)

    def update(self, number):
      self.bytes += number

    def __enter__(self):
      return self

    def __exit__(self, *_):
      pass

  monkeypatch.setattr(reading.tqdm, 'tqdm', Bar)
  for terminal in (False, True):
    monkeypatch.setattr(
      reading.sys.stderr, 'isatty', lambda terminal=terminal: terminal
    )
    reading.load(checkpoint)
  size = sum(4 * np.prod(x.shape) for x in checkpoint.tensors.values())
  assert [x.options['disable'] for x in bars] == [True, False]
  assert {(x.options['total'], x.bytes) for x in bars} == {(size, size)}
