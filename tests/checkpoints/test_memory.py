"""What is in the memory of a host that loads a model."""

import dataclasses
import math
import os
import pathlib
import subprocess
import sys
import weakref

import jax
import numpy as np
import pytest

from speccascade import checkpoints, sharding
from speccascade.checkpoints import opened, reading, shards, tensors
from speccascade.models import registry
from speccascade.models.gemma2 import config as gemma2
from tests.checkpoints import folders

GIB = 2**30
ROOT = pathlib.Path(__file__).parents[2]

needs_8 = pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')

# Loads a model in a process of its own and prints the most that it held, what
# its devices, which are in the same memory, hold, and the largest slice.
PROGRAM = """
import resource, sys
import jax
from speccascade import checkpoints, sharding

def peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

folder, dtype, model, stacked = sys.argv[1:]
mesh = sharding.make_mesh(1, int(model)) if int(model) else None
jax.device_put(1.0).block_until_ready()
before = peak()
stacked = bool(int(stacked))
_, params = checkpoints.load(folder, dtype, mesh=mesh, stacked=stacked)
parts = [s.data for x in jax.tree.leaves(params) for s in x.addressable_shards]
sizes = [x.nbytes for x in parts]
print(peak() - before, sum(sizes), max(sizes))
"""


class _Held:
  """Counts the bytes of arrays until they are let go."""

  def __init__(self):
    self.now = self.peak = 0

  def count(self, make):
    """Returns the function, whose arrays are counted."""

    def call(*args, **options):
      x = make(*args, **options)
      self._add(x.nbytes)
      weakref.finalize(x, self._add, -x.nbytes)
      return x

    return call

  def _add(self, number):
    self.now += number
    self.peak = max(self.peak, self.now)


@needs_8
@pytest.mark.parametrize('stacked', [False, True])
def test_a_host_holds_boxes_and_shards_of_one_parameter(
  tmp_path, monkeypatch, stacked
):
  box = 2**10
  monkeypatch.setattr(tensors, '_BYTES', box)
  config = dataclasses.replace(
    registry.FAMILIES['qwen3'].examples[0],
    vocab_size=2**12,
    num_layers=4,
    embed_dim=16,
    hidden_dim=2**10,
  )
  folders.write(tmp_path / 'm', config, shards=2)
  found, buffers, boxes = checkpoints.open(tmp_path / 'm'), _Held(), _Held()
  own = {
    name: dataclasses.replace(x, fetch=boxes.count(x.fetch))
    for name, x in found.tensors.items()
  }
  monkeypatch.setattr(np, 'empty', buffers.count(np.empty))
  put = jax.device_put

  def copy(x, *args, **options):  # JAX lets x go some moments later.
    return put(x.copy(), *args, **options)

  monkeypatch.setattr(jax, 'device_put', copy)
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  found = dataclasses.replace(found, tensors=own)
  params = reading.load(found, mesh, stacked).params
  assert 0 < boxes.peak <= 8 * box
  table = params['embedding']  # Its shards are of rows: one after the other.
  matrix = 4 * config.embed_dim * config.hidden_dim  # And these of columns.
  assert buffers.peak <= max(table.nbytes // 8, matrix) + box
  assert 8 * buffers.peak < sum(x.nbytes for x in jax.tree.leaves(params))


@needs_8
def test_a_27b_model_fits_a_mesh_by_shape(tmp_path):
  """No weights are read but those of a layer's matrix."""
  config = gemma2.gemma2_27b(num_layers=4)
  folders.write(tmp_path / 'm', config, shards=3, sparse=True)
  found = checkpoints.open(tmp_path / 'm', 'bfloat16')
  assert found.config == config
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  shapes = reading.shapes(found, mesh, stacked=True)
  gate = shapes['stack_1']['ffw']['gate']
  assert gate.shape == (2, 4608, 36864)
  model = 'model', 'model_1', 'model_2'
  assert gate.sharding.spec == sharding.P(None, None, model)
  assert gate.sharding.shard_shape(gate.shape) == (2, 4608, 36864 // 8)
  model = registry.make_model(config)
  want = jax.eval_shape(lambda k: model.stack(model.init(k)), jax.random.key(0))
  assert jax.tree.map(lambda x: x.shape, shapes) == jax.tree.map(
    lambda x: x.shape, want
  )
  norm = opened.sources(found)['layers_3.pre_ffw_norm.scale']
  np.testing.assert_array_equal(norm, np.zeros(4608))


def _measure(folder, dtype, model, stacked):
  """(bytes above those of the devices, bytes of the largest slice)."""
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    'PYTHONPATH': str(ROOT),
  }
  told = subprocess.run(
    [sys.executable, '-c', PROGRAM, folder, dtype, str(model), str(stacked)],
    env=environment,
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  peak, held, largest = map(int, told.split())
  print(
    f'{dtype}, {model} devices, stacked={stacked}: devices hold '
    f'{held / GIB:.2f} GiB, the host {(peak - held) / GIB:.2f} GiB more at '
    f'most; the largest slice has {largest / GIB:.2f} GiB'
  )
  return peak - held, largest


@pytest.fixture(scope='module')
def gemma2_2b(tmp_path_factory):
  folder = tmp_path_factory.mktemp('2b') / 'm'
  return folders.write(folder, gemma2.gemma2_2b(), shards=4)


@pytest.mark.large
@pytest.mark.parametrize(
  ('dtype', 'model', 'stacked'),
  [
    ('bfloat16', 0, 0),
    ('bfloat16', 8, 0),
    ('bfloat16', 8, 1),
    ('float32', 0, 0),
    ('float32', 0, 1),
  ],
)
def test_the_memory_of_a_2b_model(gemma2_2b, dtype, model, stacked):
  above, largest = _measure(gemma2_2b, dtype, model, stacked)
  assert above < largest + 2 * GIB


@needs_8
@pytest.mark.large
def test_a_27b_model_streams_through_a_mesh(tmp_path, monkeypatch):
  """All 51 GiB of it, each array dropped as soon as it is on the devices."""
  resource = pytest.importorskip('resource')
  largest = 0
  assemble = shards.assemble

  def drop(*args):
    nonlocal largest
    x = assemble(*args)
    largest = max(largest, sum(s.data.nbytes for s in x.addressable_shards))

  monkeypatch.setattr(shards, 'assemble', drop)
  folders.write(tmp_path / 'm', gemma2.gemma2_27b(), shards=12, sparse=True)
  found = checkpoints.open(tmp_path / 'm', 'bfloat16')
  assert found.size == 27_227_128_320
  mesh = sharding.make_mesh(1, 8, jax.devices()[:8])
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  reading.load(found, mesh)
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  above = 1024 * (after - before) - largest
  shapes = jax.tree.leaves(reading.shapes(found, mesh))
  slices = [2 * math.prod(x.sharding.shard_shape(x.shape)) for x in shapes]
  print(f'{above / GIB:.2f} GiB, largest slice {max(slices) / GIB:.2f} GiB')
  assert above < max(slices) + 2 * GIB
