import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.checkpoints import native as checkpoints
from speccascade.models import registry
from speccascade.models.gemma import config as gemma_config
from speccascade.models.t5 import config as t5_config

CONFIG = gemma_config.GemmaConfig(
  vocab_size=11,
  num_layers=2,
  embed_dim=8,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  hidden_dim=12,
  window=3,
)

T5_CONFIG = t5_config.T5Config(
  vocab_size=11,
  num_layers=2,
  embed_dim=8,
  num_heads=2,
  head_dim=3,
  hidden_dim=12,
  input_length=7,
  scan_layers=True,
)


def _params(config):
  rng = np.random.default_rng(0)

  def fill(x):  # Representable in bfloat16.
    return rng.normal(size=x.shape).astype(jnp.bfloat16).astype(np.float32)

  model = registry.make_model(config)
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  return jax.tree.map(fill, shapes)


@pytest.fixture(scope='module')
def params():
  return _params(CONFIG)


@pytest.fixture
def path(tmp_path, params):
  path = tmp_path / 'model.safetensors'
  checkpoints.save(path, CONFIG, params)
  return path


def _assert_equal(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_round_trip_through_bfloat16(path, params):
  config, loaded = checkpoints.load(path)
  assert config == CONFIG
  assert hash(config) == hash(CONFIG)
  _assert_equal(loaded, params)
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {jnp.dtype('float32')}
  stored = sum(2 * x.size for x in jax.tree.leaves(params))
  assert stored < path.stat().st_size < stored + 5000


def test_round_trip_in_float32(tmp_path, params):
  exact = jax.tree.map(lambda x: x / 3, params)
  checkpoints.save(tmp_path / 'm', CONFIG, exact, dtype='float32')
  _assert_equal(checkpoints.load(tmp_path / 'm')[1], exact)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float64'])
def test_load_chooses_the_compute_type(path, params, dtype):
  with jax.enable_x64(True):
    config, loaded = checkpoints.load(path, dtype)
  assert config == dataclasses.replace(CONFIG, dtype=dtype)
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {jnp.dtype(dtype)}
  _assert_equal(jax.tree.map(lambda x: np.float32(x), loaded), params)


def test_missing(tmp_path):
  with pytest.raises(ValueError, match='nowhere: no such checkpoint') as e:
    checkpoints.load(tmp_path / 'nowhere')
  assert '\n' not in str(e.value)


@pytest.mark.parametrize('size', [0, 5, 100, 1500, -1])
def test_torn(path, size):
  path.write_bytes(path.read_bytes()[:size])
  with pytest.raises(ValueError, match='safetensors: not a complete') as e:
    checkpoints.load(path)
  assert '\n' not in str(e.value)


def test_not_ours(tmp_path):
  from safetensors import flax as safetensors

  path = tmp_path / 'other'
  path.write_bytes(safetensors.save({'x': jnp.zeros(2)}))
  with pytest.raises(ValueError, match='other: not a complete speccascade'):
    checkpoints.load(path)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(vocab_size=12), r'tensor embedding has shape \(11, 8\).*\(12, 8\)'),
    (dict(num_layers=4), r'tensor layers_1\.\S+ has shape none.* needs'),
    (dict(hidden_dim=16), r'ffw\.down has shape \(12, 8\).*\(16, 8\)'),
  ],
)
def test_other_shapes(tmp_path, params, changes, message):
  path = tmp_path / 'm'
  checkpoints.save(path, dataclasses.replace(CONFIG, **changes), params)
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(path)
  assert str(path) in str(e.value)


def test_the_configuration_is_readable(path):
  size = int.from_bytes(path.read_bytes()[:8], 'little')
  header = json.loads(path.read_bytes()[8 : 8 + size])
  assert json.loads(header['__metadata__']['config'])['embed_dim'] == 8


@pytest.mark.parametrize(
  'config',
  [
    pytest.param(config, id=f'{family.name}-{i}')
    for family in registry.FAMILIES.values()
    for i, config in enumerate(family.examples)
  ],
)
def test_round_trip_of_every_family(tmp_path, config):
  """The file tells the family, the configuration and the parameters."""
  params = _params(config)
  checkpoints.save(tmp_path / 'm', config, params)
  loaded_config, loaded = checkpoints.load(tmp_path / 'm')
  assert loaded_config == config
  assert registry.make_model(loaded_config) == registry.make_model(config)
  _assert_equal(loaded, params)


def test_other_shapes_of_a_t5(tmp_path):
  wrong = dataclasses.replace(T5_CONFIG, num_heads=3)
  checkpoints.save(tmp_path / 't5', wrong, _params(T5_CONFIG))
  message = r't5: tensor decoder\.layers\.attention\.key .*\(2, 8, 2, 3\)'
  with pytest.raises(ValueError, match=message):
    checkpoints.load(tmp_path / 't5')


def _relabel(path, family):
  data = path.read_bytes()
  size = int.from_bytes(data[:8], 'little')
  header = json.loads(data[8 : 8 + size])
  header['__metadata__']['family'] = family
  header = json.dumps(header).encode()
  path.write_bytes(
    len(header).to_bytes(8, 'little') + header + data[8 + size :]
  )


@pytest.mark.parametrize(
  ('family', 'message'),
  [
    ('t6', "model family 't6' is not supported; supported: gemma2, t5"),
    ('t5', 'wrong settings of a t5 model: .*unexpected keyword'),
  ],
)
def test_another_family(path, family, message):
  _relabel(path, family)
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(path)
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)
