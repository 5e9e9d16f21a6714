import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from speccascade import checkpoints, sharding
from speccascade.checkpoints import file, hugging_face, reading, tensors
from tests.checkpoints import damages, folders
from tests.storage import fake_bucket

needs_8 = pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('whole') / 'model'
  return folders.write(folder, damages.CONFIG, shards=3)


@pytest.fixture
def folder(whole, tmp_path):
  return shutil.copytree(whole, tmp_path / 'model')


@pytest.mark.parametrize('name', damages.DAMAGES)
def test_a_damaged_folder_is_told_in_a_line(folder, name):
  damage, message = damages.DAMAGES[name]
  damage(folder)
  before = sorted(folder.iterdir())
  with pytest.raises(ValueError, match=message) as e:
    checkpoints.load(folder)
  assert str(e.value).startswith(str(folder))
  assert str(e.value).isprintable()
  assert sorted(folder.iterdir()) == before


def _of_theirs(folder):
  """Tensors by name, as the safetensors library reads them."""
  found = {}
  for path in folder.glob('*.safetensors'):
    found |= safetensors.numpy.load_file(path)
  return found


@pytest.mark.parametrize('boxes', [2**24, 50])
@pytest.mark.parametrize('mesh', [False, pytest.param(True, marks=needs_8)])
def test_tensors_become_parameters(whole, monkeypatch, mesh, boxes):
  """Whole, in shards, and read in parts that cut rows."""
  monkeypatch.setattr(tensors, '_BYTES', boxes)
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8]) if mesh else None
  config, params = checkpoints.load(whole, mesh=mesh)
  assert config == damages.CONFIG
  theirs = _of_theirs(whole)
  theirs = {name: x.astype(np.float32) for name, x in theirs.items()}
  d, n, h = config.embed_dim, config.num_heads, config.head_dim
  for i in range(config.num_layers):
    own, start = params[f'layers_{i}'], f'model.layers.{i}'
    for ours, want in (
      (
        own['attention']['query'],
        theirs[f'{start}.self_attn.q_proj.weight'].T.reshape(d, n, h),
      ),
      (
        own['attention']['out'],
        theirs[f'{start}.self_attn.o_proj.weight'].T.reshape(n, h, d),
      ),
      (own['ffw']['gate'], theirs[f'{start}.mlp.gate_proj.weight'].T),
      (own['ffw']['down'], theirs[f'{start}.mlp.down_proj.weight'].T),
    ):
      np.testing.assert_array_equal(ours, want)
  table = theirs['model.embed_tokens.weight']
  np.testing.assert_array_equal(params['embedding'], table)


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_weights_of_every_type(folder, dtype):
  want = checkpoints.load(folder)[1]
  for path in folder.glob('*.safetensors'):
    values = {
      name: x.astype(dtype)
      for name, x in safetensors.numpy.load_file(path).items()
    }
    path.write_bytes(safetensors.numpy.save(values))
  found = checkpoints.load(folder)[1]
  if dtype == 'float16':  # Has fewer exponents.
    same = lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7)  # noqa: E731
  else:
    same = np.testing.assert_array_equal
  jax.tree.map(same, found, want)


def test_one_file_and_shards_are_one_model(whole, tmp_path):
  """The digest does not depend on where tensors lie."""
  single = tmp_path / 'single'
  single.mkdir()
  shutil.copy(whole / 'config.json', single)
  data = safetensors.numpy.save(_of_theirs(whole))
  (single / 'model.safetensors').write_bytes(data)
  a, b = (reading.load(checkpoints.open(x)) for x in (whole, single))
  assert (a.config, a.digest) == (b.config, b.digest)
  jax.tree.map(np.testing.assert_array_equal, a.params, b.params)


def test_another_weight_or_field_is_another_digest(folder):
  digests = {reading.load(checkpoints.open(folder)).digest}
  damages.replace(damages.NORM, lambda x: damages.put(x, 2))(folder)
  digests.add(reading.load(checkpoints.open(folder)).digest)
  damages.field(rope_theta=5e3)(folder)
  digests.add(reading.load(checkpoints.open(folder)).digest)
  assert len(digests) == 3


def test_a_link_is_followed(folder, tmp_path):
  """As the cache of huggingface_hub has them."""
  for path in list(folder.iterdir()):
    path.rename(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)
  assert checkpoints.load(folder)[0] == damages.CONFIG


def test_a_folder_in_a_bucket(whole, monkeypatch):
  want = checkpoints.load(whole)
  bucket = fake_bucket.install(monkeypatch)
  for path in whole.iterdir():
    bucket.pipe(f'gs://models/own/{path.name}', path.read_bytes())
  found = checkpoints.load('gs://models/own')
  assert found[0] == want[0]
  jax.tree.map(np.testing.assert_array_equal, found[1], want[1])
  bucket.rm(f'gs://models/own/{damages.SHARDS[0]}')
  with pytest.raises(
    ValueError, match=f'^gs://models/own/.*{damages.SHARDS[0]} is mi'
  ):
    checkpoints.load('gs://models/own')


def test_a_written_folder_is_read_by_the_library(tmp_path, whole):
  config, params = checkpoints.load(whole)
  hugging_face.save(tmp_path / 'out', config, params)
  found, theirs = _of_theirs(tmp_path / 'out'), _of_theirs(whole)
  assert found.keys() == theirs.keys()
  for name, x in theirs.items():
    assert found[name].dtype == jnp.bfloat16
    np.testing.assert_array_equal(found[name], x)
  assert file.open(tmp_path / 'out' / 'model.safetensors').metadata == {
    'format': 'pt'  # Without which transformers does not read it.
  }


def test_tensors_that_become_one_are_told(folder):
  """Names of two versions of one model, in a family that renames."""
  damages.change_json(
    folder / 'config.json', lambda x: x.update(model_type='gemma3_text')
  )
  damages.add(folder, f'language_model.{damages.NORM}')
  message = re.escape(f' are one tensor, {damages.NORM}')
  with pytest.raises(ValueError, match=message):
    checkpoints.load(folder)
