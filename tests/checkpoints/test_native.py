import dataclasses
import hashlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import checkpoints, pairs
from speccascade.checkpoints import file, native, reading, values
from speccascade.models import registry
from tests.checkpoints import random_model

CONFIG = dataclasses.replace(
  registry.FAMILIES['gemma2'].examples[0], num_layers=2
)
T5_CONFIG = registry.FAMILIES['t5'].examples[0]
TABLE = CONFIG.vocab_size, CONFIG.embed_dim

STORED = ['bfloat16', 'float16', 'float32', 'float64']


@pytest.fixture(scope='module')
def params():
  return random_model.params(CONFIG)


@pytest.fixture
def path(tmp_path, params):
  path = tmp_path / 'model.safetensors'
  native.save(path, CONFIG, params)
  return path


def _read(path):
  found = file.open(path)
  tensors = {name: np.asarray(x) for name, x in found.tensors.items()}
  return tensors, found.metadata


def test_round_trip_through_bfloat16(path, params):
  config, loaded = checkpoints.load(path)
  assert config == CONFIG
  assert hash(config) == hash(CONFIG)
  random_model.assert_equal(loaded, params)
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {jnp.dtype('float32')}
  stored = sum(2 * x.size for x in jax.tree.leaves(params))
  assert stored < path.stat().st_size < stored + 5000


def test_round_trip_in_float32(tmp_path, params):
  exact = jax.tree.map(lambda x: x / 3, params)
  native.save(tmp_path / 'm', CONFIG, exact, dtype='float32')
  random_model.assert_equal(checkpoints.load(tmp_path / 'm')[1], exact)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float64'])
def test_load_chooses_the_compute_type(path, params, dtype):
  with jax.enable_x64(True):
    config, loaded = checkpoints.load(path, dtype)
  assert config == dataclasses.replace(CONFIG, dtype=dtype)
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {jnp.dtype(dtype)}
  random_model.assert_equal(
    jax.tree.map(lambda x: np.float32(x), loaded), params
  )


@pytest.mark.parametrize('stored', STORED)
def test_every_type_that_is_written_is_read(tmp_path, params, stored):
  native.save(tmp_path / 'm', CONFIG, params, stored)
  tensors, _ = _read(tmp_path / 'm')
  assert {str(x.dtype) for x in tensors.values()} == {stored}
  random_model.assert_equal(checkpoints.load(tmp_path / 'm')[1], params)


@pytest.mark.parametrize('dtype', ['int8', 'float8_e4m3fn', 'x', None])
def test_a_type_that_is_not_read_is_not_written(tmp_path, params, dtype):
  with pytest.raises(ValueError, match='must be one of bfloat16, float16'):
    native.save(tmp_path / 'm', CONFIG, params, dtype)
  assert not (tmp_path / 'm').exists()


@pytest.mark.parametrize('dtype', ['float16', 'int32', 'x', None])
def test_a_type_that_does_not_compute(path, dtype):
  with pytest.raises(ValueError, match='must be one of bfloat16, float32'):
    checkpoints.load(path, dtype)


def test_float64_is_not_taken_for_float32(path):
  with pytest.raises(ValueError, match="'float64' needs jax_enable_x64"):
    checkpoints.load(path, 'float64')


@pytest.mark.parametrize('stored', STORED)
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(tmp_path, path, stored, value):
  """One value of one tensor, in a file that is whole."""
  tensors, metadata = _read(path)
  name = 'layers_0.ffw.down'
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
    changed = params | {'embedding': np.full(TABLE, value)}
    with pytest.raises(ValueError, match=f"m: tensor 'embedding' .*{message}"):
      native.save(tmp_path / 'm', CONFIG, changed, dtype)
  assert not (tmp_path / 'm').exists()


def test_values_that_overflow_when_read_are_told(tmp_path, params):
  large = params | {'embedding': np.full(TABLE, 3.4e38)}
  native.save(tmp_path / 'm', CONFIG, large, 'float32')
  checkpoints.load(tmp_path / 'm')
  with pytest.raises(ValueError, match='too large for bfloat16; use float32'):
    checkpoints.load(tmp_path / 'm', 'bfloat16')


def test_the_largest_value_is_finite(tmp_path, params):
  for dtype in ('bfloat16', 'float16', 'float32'):
    most = np.full(TABLE, jnp.finfo(dtype).max)
    native.save(tmp_path / 'm', CONFIG, params | {'embedding': most}, dtype)
    loaded = checkpoints.load(tmp_path / 'm')[1]['embedding']
    np.testing.assert_array_equal(loaded, most)


def test_a_bad_value_is_found_in_every_part():
  """Tensors are tested in parts."""
  x = np.zeros(2**18 + 5, jnp.bfloat16)
  for at in (0, 2**18 - 1, 2**18, -1):
    x[at] = np.nan
    with pytest.raises(ValueError, match="none: tensor 'x' .* NaN"):
      values.cast('none', 'x', x, 'bfloat16')
    x[at] = 0


def test_every_flipped_bit_is_seen(path):
  data = path.read_bytes()
  rng = np.random.default_rng(0)
  start = 8 + int.from_bytes(data[:8], 'little')
  for at in [*rng.integers(0, len(data), 30), start, len(data) - 1]:
    torn = bytearray(data)
    torn[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(torn)
    with pytest.raises(ValueError, match='again|good one') as e:
      checkpoints.load(path)
    assert str(path) in str(e.value)
    assert str(e.value).isprintable()


def test_the_digest_is_the_checksum(path):
  found = native.open(path, 'float32')
  header, data = file.open(path).header, path.read_bytes()
  start = 8 + int.from_bytes(data[:8], 'little')
  digest = hashlib.sha256(header + data[start:]).hexdigest()
  assert reading.load(found).digest == found.checksum == digest


def test_not_ours(tmp_path):
  file.write(tmp_path / 'other', {'x': np.zeros(2, np.float32)}, {})
  message = "other: not a speccascade checkpoint: its metadata has no 'family'"
  with pytest.raises(ValueError, match=message):
    checkpoints.load(tmp_path / 'other')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      dict(vocab_size=21),
      r'1 of another shape \(embedding of m is \(20, 12\), not \(21, 12\)\);',
    ),
    (
      dict(num_layers=4),
      r'22 missing \(layers_2\.attention\.key, layers_2\.\S+, \S+, \.\.\.\);',
    ),
    (dict(num_layers=1), r'11 left over \(layers_1\.attention\.key of m, '),
    (
      dict(hidden_dim=16),
      r'6 of another shape \(layers_0\.ffw\.down of m is \(20, 12\), not '
      r'\(16, 12\), ',
    ),
  ],
)
def test_other_shapes(tmp_path, params, changes, message):
  path = tmp_path / 'm'
  native.save(path, dataclasses.replace(CONFIG, **changes), params)
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(path)
  assert str(path) in str(e.value)


def test_the_configuration_is_readable(path):
  size = int.from_bytes(path.read_bytes()[:8], 'little')
  header = json.loads(path.read_bytes()[8 : 8 + size])
  assert json.loads(header['__metadata__']['config'])['embed_dim'] == 12


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
  params = random_model.params(config)
  native.save(tmp_path / 'm', config, params)
  loaded_config, loaded = checkpoints.load(tmp_path / 'm')
  assert loaded_config == config
  assert registry.make_model(loaded_config) == registry.make_model(config)
  random_model.assert_equal(loaded, params)


def test_other_shapes_of_a_t5(tmp_path):
  wrong = dataclasses.replace(T5_CONFIG, num_heads=3)
  native.save(tmp_path / 't5', wrong, random_model.params(T5_CONFIG))
  message = r'decoder\.layers_0\.attention\.key of t5 is .*\(12, 3, 5\)'
  with pytest.raises(ValueError, match=message):
    checkpoints.load(tmp_path / 't5')


def _rewrite(path, **metadata):
  tensors, old = _read(path)
  file.write(path, tensors, old | metadata)


@pytest.mark.parametrize(
  ('family', 'message'),
  [
    ('t6', "model family 't6' is not supported; supported: gemma2, gemma3, "),
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
    (dict(num_layers=1000), 'has 1000 layers, more than its 24 tensors'),
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
  tensors, metadata = _read(path)
  tensors['embedding'] = tensors['embedding'][:0]
  file.write(path, tensors, metadata)
  with pytest.raises(ValueError, match=r'embedding of \S+ is \(0, 12\)'):
    checkpoints.load(path)


def test_the_same_model_gives_the_same_bytes(path, tmp_path, params):
  native.save(tmp_path / 'again', CONFIG, dict(reversed(params.items())))
  assert (tmp_path / 'again').read_bytes() == path.read_bytes()
  config, loaded = checkpoints.load(path)
  native.save(tmp_path / 'loaded', config, loaded)
  assert (tmp_path / 'loaded').read_bytes() == path.read_bytes()


def test_names_of_the_first_version():
  """Files that have no version have other names for the same parameters."""
  folder = pathlib.Path(pairs.__file__).parent
  path = folder / 'word_problems' / 'drafter.safetensors'
  tensors, metadata = _read(path)
  assert 'version' not in metadata
  _, params = checkpoints.load(path)
  for layer, name in enumerate(('local_0', 'global_1')):
    found = params[f'layers_{layer}']['attention']['query']
    np.testing.assert_array_equal(
      found, tensors[f'layers_0.{name}_attention.query'].astype(np.float32)
    )


def test_another_version(path):
  _rewrite(path, version='3')
  with pytest.raises(ValueError, match="of version '3', known is 2; update"):
    checkpoints.load(path)
