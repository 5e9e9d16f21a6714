"""What happens to a folder in Hugging Face's layout of three shards."""

import json
import pathlib
import shutil

import numpy as np
import safetensors.numpy

from speccascade.models import registry

CONFIG = registry.FAMILIES['gemma2'].examples[0]
INDEX = 'model.safetensors.index.json'
SHARDS = [f'model-{i:05}-of-00003.safetensors' for i in (1, 2, 3)]
NORM = 'model.norm.weight'
GATE = 'model.layers.1.mlp.gate_proj.weight'


def _shard_of(folder, name):
  index = json.loads((folder / INDEX).read_text())
  return folder / index['weight_map'][name]


def _change(path, change):
  """Rewrites a file of safetensors with other tensors."""
  found = safetensors.numpy.load_file(path)
  change(found)
  path.write_bytes(safetensors.numpy.save(found))


def change_json(path, change):
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))


def replace(name, value):
  def damage(folder):
    _change(_shard_of(folder, name), lambda x: x.update({name: value(x[name])}))

  return damage


def put(x, value):
  x = x.copy()
  x.reshape(-1)[-1] = value
  return x


def _drop(folder, *names):
  """Takes tensors out of shards and index."""
  for name in names:
    _change(_shard_of(folder, name), lambda x, name=name: x.pop(name))
    change_json(folder / INDEX, lambda x, name=name: x['weight_map'].pop(name))


def add(folder, name):
  """Puts a tensor into the first shard and the index."""
  value = np.zeros(3, np.float32)
  _change(folder / SHARDS[0], lambda x: x.update({name: value}))
  change_json(
    folder / INDEX, lambda x: x['weight_map'].update({name: SHARDS[0]})
  )


def _resize(folder, by):
  path = _shard_of(folder, NORM)
  data = path.read_bytes()
  path.write_bytes(data[:by] if by < 0 else data + bytes(by))


def _header(folder, text):
  path = folder / SHARDS[1]
  path.write_bytes(len(text).to_bytes(8, 'little') + text + bytes(8))


def _swap(folder):
  """The content of two shards, as a copy with wrong names gives it."""
  first, second = (folder / x for x in SHARDS[:2])
  first.rename(folder / 'x')
  second.rename(first)
  (folder / 'x').rename(second)


def _layer(i):
  names = registry.FAMILIES['gemma2'].formats['hugging_face'].names(CONFIG)
  return [x for x, _ in names.values() if x.startswith(f'model.layers.{i}.')]


def _become(folder, name, make):
  path = folder / name
  path.unlink()
  make(path)


def _only(folder, *names):
  for path in folder.iterdir():
    if path.name not in names:
      path.unlink()


def field(**fields):
  return lambda folder: change_json(
    folder / 'config.json', lambda x: x.update(fields)
  )


# What happens to a folder, and what the line must say beside its name.
DAMAGES = {
  'cut_by_a_byte': (
    lambda x: _resize(x, -1),
    r'model-\d+-of-00003.safetensors: not a whole safetensors file: it has \d+ '
    r'bytes, but its header says \d+; copy it again',
  ),
  'cut_in_half': (lambda x: _resize(x, -400), 'it has .* its header says'),
  'cut_to_nothing': (
    lambda x: (x / SHARDS[0]).write_bytes(b''),
    f'{SHARDS[0]}: not a whole safetensors file: it has 0 bytes',
  ),
  'extended': (lambda x: _resize(x, 1), 'it has .* its header says'),
  'header_of_garbage': (
    lambda x: _header(x, b'garbage!'),
    f'{SHARDS[1]}: not a whole safetensors file: ',
  ),
  'header_that_lies': (
    lambda x: _header(
      x, b'{"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}'
    ),
    f"{SHARDS[1]}: not a whole .*: tensor 'x' of shape .3,. has 8 bytes",
  ),
  'shard_renamed': (
    lambda x: (x / SHARDS[1]).rename(x / 'other.safetensors'),
    f'{INDEX}: shard {SHARDS[1]} is missing, of tensor model.layers',
  ),
  'shard_is_a_folder': (
    lambda x: _become(x, SHARDS[1], pathlib.Path.mkdir),
    f'{SHARDS[1]}: a folder, not a checkpoint',
  ),
  'shard_is_a_link_to_itself': (
    lambda x: _become(x, SHARDS[1], lambda y: y.symlink_to(y)),
    f'{INDEX}: shard {SHARDS[1]} is missing',
  ),
  'shards_swapped': (
    _swap,
    rf'{INDEX}: it tells that tensor \S+ is in {SHARDS[0]}, but {SHARDS[1]} ',
  ),
  'index_renamed': (
    lambda x: (x / INDEX).rename(x / 'index.json'),
    f'model: it has neither model.safetensors nor {INDEX}, only index.json, m',
  ),
  'index_of_garbage': (
    lambda x: (x / INDEX).write_text('{"weight_map": '),
    f'{INDEX}: .*; copy it again',
  ),
  'index_without_a_map': (
    lambda x: (x / INDEX).write_text('{}'),
    f'{INDEX}: it has no weight_map of names of files',
  ),
  'index_that_leaves_the_folder': (
    lambda x: change_json(
      x / INDEX, lambda y: y['weight_map'].update({NORM: '../secret'})
    ),
    f'{INDEX}: it has no weight_map of names of files',
  ),
  'index_of_no_file': (
    lambda x: change_json(
      x / INDEX, lambda y: y['weight_map'].update({NORM: ''})
    ),
    f'{INDEX}: it has no weight_map of names of files',
  ),
  'index_of_a_folder': (
    lambda x: change_json(
      x / INDEX, lambda y: y['weight_map'].update({NORM: '..'})
    ),
    f'{INDEX}: it has no weight_map of names of files',
  ),
  'index_of_a_tensor_that_no_shard_has': (
    lambda x: _change(_shard_of(x, NORM), lambda y: y.pop(NORM)),
    rf'{INDEX}: it tells that tensor {NORM} is in model-\S+, but no shard has ',
  ),
  'tensor_that_the_index_lacks': (
    lambda x: change_json(x / INDEX, lambda y: y['weight_map'].pop(NORM)),
    f'{INDEX}: it tells that tensor {NORM} is in no shard, but model-',
  ),
  'two_shards_with_one_tensor': (
    lambda x: _change(
      x / SHARDS[2],
      lambda y: y.update(safetensors.numpy.load_file(x / SHARDS[1])),
    ),
    rf'{SHARDS[2]}: tensor model\S+ is in {SHARDS[1]}, too; copy both again',
  ),
  'whole_file_and_index': (
    lambda x: shutil.copy(x / SHARDS[0], x / 'model.safetensors'),
    f'model: it has both model.safetensors and {INDEX}; remove',
  ),
  'another_shape': (
    replace(GATE, lambda x: x[:-1].copy()),
    rf'1 of another shape \({GATE} of model-\S+ is \(19, 12\), not \(20, ',
  ),
  'another_layout': (
    replace(GATE, lambda x: np.ascontiguousarray(x.T)),
    rf'1 of another shape \({GATE} of model-\S+ is \(12, 20\), not \(20, ',
  ),
  'another_type': (
    replace(GATE, lambda x: np.zeros(x.shape, np.int8)),
    rf'1 not of type BF16, F16, F32, F64 \({GATE} of model-\S+ is I8\)',
  ),
  'not_a_number': (
    replace(GATE, lambda x: put(x, np.nan)),
    rf"model-\S+: tensor '{GATE}' has values that are NaN or infinite",
  ),
  'infinite': (
    replace(NORM, lambda x: put(x, -np.inf)),
    rf"model-\S+: tensor '{NORM}' has values that are NaN or infinite",
  ),
  'layer_missing': (
    lambda x: _drop(x, *_layer(3)),
    r'model: its tensors .*: 11 missing \(model\.layers\.3\.input_layernorm\.w'
    r'eight, \S+, \S+, \.\.\.\)',
  ),
  'layer_left_over': (
    field(num_hidden_layers=3, layer_types=None),
    r'model: its tensors .*: 11 left over \(model\.layers\.3\.input_layernorm',
  ),
  'tensor_left_over': (
    lambda x: add(x, 'model.norm.bias'),
    rf'1 left over \(model\.norm\.bias of {SHARDS[0]}\)',
  ),
  'no_config': (
    lambda x: (x / 'config.json').unlink(),
    'config.json: no such file; a model in the layout of Hugging Face has one',
  ),
  'config_of_garbage': (
    lambda x: (x / 'config.json').write_text('{"model_type": '),
    'config.json: .*; copy it again',
  ),
  'config_that_is_no_object': (
    lambda x: (x / 'config.json').write_text('[]'),
    'config.json: it is no JSON object',
  ),
  'config_is_a_folder': (
    lambda x: _become(x, 'config.json', pathlib.Path.mkdir),
    'config.json: a folder, not a file',
  ),
  'config_of_another_model': (
    field(model_type='mixtral'),
    "config.json: models of type 'mixtral' are not supported, only gemma2, ",
  ),
  'config_without_a_model': (
    field(model_type=None),
    'config.json: models of type None are not supported',
  ),
  'config_of_a_window_of_0': (
    field(sliding_window=0),
    'config.json: wrong settings of a gemma2 model: sliding_window=0: ',
  ),
  'config_of_a_short_wavelength': (
    field(rope_theta=0.5),
    'config.json: wrong settings of a gemma2 model: rope_theta=0.5 must be',
  ),
  'config_of_other_sizes': (
    field(hidden_size=8, num_hidden_layers=10**6, layer_types=None),
    'config.json: wrong settings of a gemma2 model: '
    'num_hidden_layers=1000000: ',
  ),
  'weights_of_torch_only': (
    lambda x: (
      _only(x, 'config.json'),
      (x / 'pytorch_model.bin').write_bytes(b'PK'),
    ),
    'model: its weights are in pytorch_model.bin, which is not read; convert ',
  ),
  'config_only': (
    lambda x: _only(x, 'config.json'),
    'model: it has neither .*, only config.json',
  ),
  'empty': (_only, 'model: a folder without a checkpoint, of Hugging Face,'),
}
