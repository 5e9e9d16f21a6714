import errno
import hashlib
import json
import os
import struct

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from speccascade.checkpoints import file, tensors

TENSORS = {
  'b': np.arange(6, dtype=np.float32).reshape(2, 3),
  'a': np.arange(4, dtype=np.float32).astype(jnp.bfloat16),
  'c': np.arange(3, dtype=np.float64),
  'd': np.ones((2, 2), np.float16),
}
METADATA = {'z': 'last', 'a': 'first', 'm': '{"x": "é"}'}


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'file'
  file.write(path, TENSORS, METADATA)
  return path


def _read(path):
  found = file.open(path)
  tensors = {name: np.asarray(x) for name, x in found.tensors.items()}
  return tensors, found.metadata


def _header(data):
  size = int.from_bytes(data[:8], 'little')
  return json.loads(data[8 : 8 + size]), data[8 + size :]


def _pack(header, data):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack('<Q', len(text)) + text + data


def _refused(path, message):
  with pytest.raises(ValueError, match=message) as e:
    file.open(path)
  assert str(path) in str(e.value)
  assert str(e.value).isprintable()


def test_round_trip(path):
  tensors, metadata = _read(path)
  assert metadata == METADATA
  assert tensors.keys() == TENSORS.keys()
  for name, x in TENSORS.items():
    assert tensors[name].dtype == x.dtype
    np.testing.assert_array_equal(tensors[name], x)


def test_the_library_reads_what_is_written(path):
  with safetensors.safe_open(path, framework='flax') as f:
    assert METADATA.items() < f.metadata().items()
    for name in 'abd':  # JAX has no float64 here.
      x = f.get_tensor(name)
      assert x.dtype == TENSORS[name].dtype
      np.testing.assert_array_equal(x, TENSORS[name])
  start = 8 + int.from_bytes(path.read_bytes()[:8], 'little')
  assert start % 8 == 0


def test_what_the_library_writes_is_read(tmp_path):
  path = tmp_path / 'file'
  path.write_bytes(safetensors.numpy.save({'x': TENSORS['b']}))
  tensors, metadata = _read(path)
  np.testing.assert_array_equal(tensors['x'], TENSORS['b'])
  assert metadata == {}


def test_equal_content_gives_equal_bytes(path, tmp_path):
  other = tmp_path / 'other'
  backwards = [dict(reversed(x.items())) for x in (TENSORS, METADATA)]
  file.write(other, *backwards)
  assert other.read_bytes() == path.read_bytes()
  header, _ = _header(path.read_bytes())
  assert list(header) == sorted(header)
  assert list(header['__metadata__']) == sorted(header['__metadata__'])


@pytest.mark.parametrize('size', [0, 5, 100, -8, -1])
def test_a_cut_file_tells_its_sizes(path, size):
  data = path.read_bytes()
  path.write_bytes(data[:size])
  told = len(data) if size < 0 else '[0-9]+'
  _refused(path, f'it has {len(data[:size])} bytes, but its header says {told}')


def test_a_longer_file_tells_its_sizes(path):
  data = path.read_bytes()
  path.write_bytes(data + b'xy')
  message = f'it has {len(data) + 2} bytes, but its header says {len(data)};'
  _refused(path, message)


def test_the_checksum_is_of_the_header_and_all_tensors(path):
  """What is read in the order of names gives it."""
  found = file.open(path)
  digest = hashlib.sha256(found.header)
  for name in sorted(found.tensors):
    digest.update(file.bytes_of(np.asarray(found.tensors[name])))
  assert found.checksum == digest.hexdigest()


@pytest.mark.parametrize('shape', [(7,), (3, 4), (2, 3, 4)])
def test_only_the_bytes_of_a_box_are_read(tmp_path, monkeypatch, shape):
  monkeypatch.setattr(tensors, '_BYTES', 24)
  x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
  file.write(tmp_path / 'file', {'x': x}, {})
  tensor = file.open(tmp_path / 'file').tensors['x']
  region = tuple(slice(size // 2, size) for size in shape)
  np.testing.assert_array_equal(tensor.read(region), x[region])
  boxes = list(tensor.boxes(tensors.everything(shape)))
  assert len(boxes) > 1
  for box in boxes:
    assert 0 < tensor.fetch(box).nbytes <= 24
    np.testing.assert_array_equal(tensor.fetch(box), x[box])
  runs = [tensor.fetch(box).ravel() for box in boxes]
  np.testing.assert_array_equal(np.concatenate(runs), x.ravel())


def test_a_file_that_is_cut_while_it_is_read(path):
  tensor = file.open(path).tensors['d']
  path.write_bytes(path.read_bytes()[:-2])
  with pytest.raises(ValueError, match="ended in tensor 'd' while it was read"):
    np.asarray(tensor)


def test_a_file_without_a_checksum_is_read(path):
  header, data = _header(path.read_bytes())
  del header['__metadata__']['sha256']
  path.write_bytes(_pack(header, data))
  assert _read(path)[1] == METADATA
  assert file.open(path).checksum is None


@pytest.mark.parametrize('size', [0, 2, 10**8, 2**63, 2**64 - 1])
def test_a_header_of_a_wrong_length(path, size):
  path.write_bytes(struct.pack('<Q', size) + path.read_bytes()[8:])
  _refused(path, 'not a whole safetensors file: ')


@pytest.mark.parametrize(
  'header',
  [
    b'',
    b'[]',
    b'3',
    b'{',
    b'\xff\xfe{}',
    b'[' * 10_000,
    b'{"a":' * 10_000,
    b'{"__metadata__": 3}',
    b'{"__metadata__": null}',
    b'{"x": 3}',
    b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
    b' "y": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    b'{"x": {"dtype": "F16", "shape": [1], "data_offsets": [2, 4]}}',
    b'{"__metadata__": {"config": {}}}',
    b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
    b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
    b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
    b'{"x": {"dtype": "\x1b[31m", "shape": [1], "data_offsets": [0, 4]}}',
    b'{"x\\n": {"dtype": "F32", "shape": [1]}}',
  ],
)
def test_a_header_that_lies(path, header):
  path.write_bytes(_pack(header, bytes(4)))
  _refused(path, 'not a whole safetensors file: .*; copy it again')


def test_a_tensor_that_is_there_twice(path):
  header, data = _header(path.read_bytes())
  del header['__metadata__']
  text = json.dumps(header)[:-1] + f', "a": {json.dumps(header["a"])}}}'
  path.write_bytes(_pack(text.encode(), data))
  _refused(path, "the key 'a' is there twice")


@pytest.mark.parametrize('dtype', ['int8', 'int32', 'uint16', 'bool'])
def test_a_tensor_of_another_type(tmp_path, dtype):
  path = tmp_path / 'file'
  path.write_bytes(safetensors.numpy.save({'x': np.ones(3, dtype)}))
  message = "tensor 'x' is of type [A-Z0-9]+, a checkpoint holds BF16, F16"
  with pytest.raises(ValueError, match=message):
    _read(path)


@pytest.mark.parametrize(
  'x', [np.zeros((0, 2)), np.array(3.0), np.arange(6.0).reshape(2, 3).T]
)
def test_a_tensor_of_any_layout_is_written(tmp_path, x):
  path = tmp_path / 'file'
  file.write(path, {'x': x}, {})
  found = _read(path)[0]['x']
  assert found.shape == x.shape
  np.testing.assert_array_equal(found, x)


def test_nothing_or_a_folder_there(tmp_path):
  _refused(tmp_path / 'none', 'no such checkpoint; check the path')
  _refused(tmp_path, 'a folder, not a checkpoint')


def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch):
  def fail(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  old = path.read_bytes()
  monkeypatch.setattr(os, 'fsync', fail)
  with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
    file.write(path, {'x': TENSORS['b']}, {})
  assert path.read_bytes() == old
  assert [x.name for x in path.parent.iterdir()] == ['file']


def test_nothing_is_written_through_a_link(path, tmp_path):
  old, link = path.read_bytes(), tmp_path / 'link'
  link.symlink_to(path)
  for place in (link, tmp_path):
    with pytest.raises(ValueError, match='is a (link|folder), '):
      file.write(place, {'x': TENSORS['b']}, {})
  assert path.read_bytes() == old
