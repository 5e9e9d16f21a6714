import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.checkpoints import file
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


STORED = ['bfloat16', 'float16', 'float32', 'float64']


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


@pytest.mark.parametrize(
  'stored', ['bfloat16', 'float16', 'float32', 'float64']
)
def test_every_type_that_is_written_is_read(tmp_path, params, stored):
  checkpoints.save(tmp_path / 'm', CONFIG, params, stored)
  tensors, _ = file.read(tmp_path / 'm')
  assert {str(x.dtype) for x in tensors.values()} == {stored}
  _assert_equal(checkpoints.load(tmp_path / 'm')[1], params)


@pytest.mark.parametrize('dtype', ['int8', 'float8_e4m3fn', 'x', None])
def test_a_type_that_is_not_read_is_not_written(tmp_path, params, dtype):
  with pytest.raises(ValueError, match='must be one of bfloat16, float16'):
    checkpoints.save(tmp_path / 'm', CONFIG, params, dtype)
  assert not (tmp_path / 'm').exists()


@pytest.mark.parametrize('dtype', ['float16', 'int32', 'x', None])
def test_a_type_that_does_not_compute(path, dtype):
  with pytest.raises(ValueError, match='must be one of bfloat16, float32'):
    checkpoints.load(path, dtype)


def test_float64_is_not_taken_for_float32(path):
  with pytest.raises(ValueError, match="'float64' needs jax_enable_x64"):
    checkpoints.load(path, 'float64')


@pytest.mark.parametrize(
  'stored', ['bfloat16', 'float16', 'float32', 'float64']
)
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path, path, stored, value):
  """One value of one tensor, in a file that is whole."""
  tensors, metadata = file.read(path)
  name = 'layers_0.local_0_ffw.down'
  tensors = {k: x.astype(stored) for k, x in tensors.items()}
  tensors[name][-1, -1] = value
  file.write(tmp_path / 'bad', tensors, metadata)
  message = f"bad: tensor '{name}' has values that are NaN or infinite: .*; go"
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(tmp_path / 'bad', 'bfloat16')
  assert '\n' not in str(e.value)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float32'])
def test_values_that_overflow_or_are_not_finite_are_not_written(
  tmp_path, params, dtype
):
  for value, message in (
    (1e39, f'too large for {dtype}'),
    (np.nan, 'NaN or infinite'),
  ):
    changed = params | {'embedding': np.full((11, 8), value)}
    with pytest.raises(ValueError, match=f"m: tensor 'embedding' .*{message}"):
      checkpoints.save(tmp_path / 'm', CONFIG, changed, dtype)
  assert not (tmp_path / 'm').exists()


def test_values_that_overflow_when_read_are_told(tmp_path, params):
  large = params | {'embedding': np.full((11, 8), 3.4e38)}
  checkpoints.save(tmp_path / 'm', CONFIG, large, 'float32')
  checkpoints.load(tmp_path / 'm')
  with pytest.raises(ValueError, match='too large for bfloat16; use float32'):
    checkpoints.load(tmp_path / 'm', 'bfloat16')


def test_the_largest_value_is_finite(tmp_path, params):
  for dtype in ('bfloat16', 'float16', 'float32'):
    most = np.full((11, 8), jnp.finfo(dtype).max)
    checkpoints.save(
      tmp_path / 'm', CONFIG, params | {'embedding': most}, dtype
    )
    loaded = checkpoints.load(tmp_path / 'm')[1]['embedding']
    np.testing.assert_array_equal(loaded, most)


def test_a_bad_value_is_found_in_every_part():
  """Tensors are tested in parts."""
  x = np.zeros(2**18 + 5, jnp.bfloat16)
  for at in (0, 2**18 - 1, 2**18, -1):
    x[at] = np.nan
    with pytest.raises(ValueError, match='NaN'):
      checkpoints.save('none', CONFIG, {'x': x})
    x[at] = 0


def test_not_ours(tmp_path):
  file.write(tmp_path / 'other', {'x': np.zeros(2, np.float32)}, {})
  message = "other: not a speccascade checkpoint: its metadata has no 'family'"
  with pytest.raises(ValueError, match=message):
    checkpoints.load(tmp_path / 'other')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(vocab_size=12), r"tensor 'embedding' has shape \(11, 8\).*\(12, 8\)"),
    (dict(num_layers=4), r'tensor .layers_1\.\S+ has shape none.* needs'),
    (dict(hidden_dim=16), r'ffw\.down. has shape \(12, 8\).*\(16, 8\)'),
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
  message = r't5: tensor .decoder\.layers\.attention\.key. .*\(2, 8, 2, 3\)'
  with pytest.raises(ValueError, match=message):
    checkpoints.load(tmp_path / 't5')


def _rewrite(path, **metadata):
  tensors, old = file.read(path)
  file.write(path, tensors, old | metadata)


@pytest.mark.parametrize(
  ('family', 'message'),
  [
    ('t6', "model family 't6' is not supported; supported: gemma2, t5"),
    ('t5', 'wrong settings of a t5 model: .*unknown config field'),
  ],
)
def test_another_family(path, family, message):
  _rewrite(path, family=family)
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(path)
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (dict(embed_dim=2.5), 'embed_dim=2.5: it must be a valid integer'),
    (dict(embed_dim=0), 'embed_dim=0: it must be greater than or equal to 1'),
    (dict(vocab_size=-768), 'vocab_size=-768: '),
    (dict(num_kv_heads=0), 'num_kv_heads=0: '),
    (dict(num_layers=10**9), 'num_layers=1000000000: .* equal to 1000'),
    (dict(num_layers=1000), 'has 1000 layers, more than the 24 tensors'),
    (dict(attention_pattern=['local', 3]), 'attention_pattern.1=3: '),
    ([], 'it is a JSON list, not an object'),
    (3, 'it is a JSON int, not an object'),
  ],
)
def test_wrong_settings(path, settings, message):
  """A line at once, without a look at a model of that size."""
  if isinstance(settings, dict):
    settings = dataclasses.asdict(CONFIG) | settings
  _rewrite(path, config=json.dumps(settings))
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(path)
  assert str(path) in str(e.value)
  assert str(e.value).isprintable()


@pytest.mark.parametrize(
  'text',
  ['', '{', 'x', '[' * 10_000, '{"a":' * 10_000, '{"name": 1}', '\ufeff{}'],
)
def test_settings_that_are_no_object(path, text):
  _rewrite(path, config=text)
  with pytest.raises(ValueError, match='its configuration: .*; save the model'):
    checkpoints.load(path)


def test_a_setting_that_is_there_twice(path):
  text = json.dumps(dataclasses.asdict(CONFIG))
  _rewrite(path, config=text[:-1] + ', "window": 5}')
  with pytest.raises(ValueError, match="the key 'window' is there twice"):
    checkpoints.load(path)


def test_an_empty_tensor_does_not_fit(path):
  tensors, metadata = file.read(path)
  tensors['embedding'] = tensors['embedding'][:0]
  file.write(path, tensors, metadata)
  with pytest.raises(ValueError, match=r"'embedding' has shape \(0, 8\)"):
    checkpoints.load(path)


def test_the_same_model_gives_the_same_bytes(path, tmp_path, params):
  checkpoints.save(tmp_path / 'again', CONFIG, dict(reversed(params.items())))
  assert (tmp_path / 'again').read_bytes() == path.read_bytes()
  config, loaded = checkpoints.load(path)
  checkpoints.save(tmp_path / 'loaded', config, loaded)
  assert (tmp_path / 'loaded').read_bytes() == path.read_bytes()
