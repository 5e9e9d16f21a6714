import pathlib
import shutil

import jax
import numpy as np
import pytest
import tensorstore as ts
from flax import serialization, traverse_util

from speccascade import checkpoints, sharding
from speccascade.models import registry
from tests.checkpoints import random_model

PUBLISHED = (
  pathlib.Path(__file__).parents[3]
  / 'shared/data/checkpoints/t5x_test_t5_tiny.checkpoint_0'
)
CONFIGS = [
  x for x in registry.FAMILIES['t5'].examples if x.tied_embeddings != x.gated
]


def _target(config, params):
  """The parameters as T5X stores them, by names with dots."""
  found = {'token_embedder.embedding': params['embedding']}
  if 'lm_head' in params:
    found['decoder.logits_dense.kernel'] = params['lm_head'].T
  for half in ('encoder', 'decoder'):
    own = params[half]
    found |= {
      f'{half}.relpos_bias.rel_embedding': own['positions']['relative_bias'].T,
      f'{half}.{half}_norm.scale': own['final_norm']['scale'],
    }
    for layer in (x for x in own if x.startswith('layers_')):
      start, parts = f'{half}.{layer}', own[layer]
      attention = 'self_attention' if half == 'decoder' else 'attention'
      names = {'attention': attention}
      norms = {'attention_norm': attention, 'ffw_norm': 'mlp'}
      if half == 'decoder':
        names['cross_attention'] = 'encoder_decoder_attention'
        norms['cross_attention_norm'] = 'cross_attention'
      width = parts['attention']['query'].shape[0]
      for ours, theirs in names.items():
        for name in ('query', 'key', 'value'):
          kernel = parts[ours][name].reshape(width, -1)
          found[f'{start}.{theirs}.{name}.kernel'] = kernel
        kernel = parts[ours]['out'].reshape(-1, width)
        found[f'{start}.{theirs}.out.kernel'] = kernel
      ups = {'gate': 'wi_0', 'up': 'wi_1'} if config.gated else {'up': 'wi'}
      for ours, theirs in (ups | {'down': 'wo'}).items():
        found[f'{start}.mlp.{theirs}.kernel'] = parts['ffw'][ours]
      for ours, theirs in norms.items():
        found[f'{start}.pre_{theirs}_layer_norm.scale'] = parts[ours]['scale']
  return found


def _write(path, target):
  nested = traverse_util.unflatten_dict(target, sep='.')
  state = {'version': 3, 'optimizer': {'state': {'step': 1}, 'target': nested}}
  path.write_bytes(serialization.msgpack_serialize(state))


def _write_folder(folder, target):
  """Matrices are arrays beside the file, whose paths were another's."""
  folder.mkdir()
  told = dict(target)
  for name, x in target.items():
    if x.ndim < 2:
      continue
    spec = {
      'driver': 'zarr',
      'kvstore': {'driver': 'file', 'path': f'{folder}/target.{name}'},
      'metadata': {
        'shape': list(x.shape),
        'chunks': [max(1, x.shape[0] // 2), *x.shape[1:]],
        'dtype': '<f4',
      },
    }
    ts.open(spec, create=True).result().write(x).result()
    spec['kvstore'] = {'driver': 'gfile', 'path': f'target.{name}'}
    told[name] = spec
  _write(folder / 'checkpoint', told)


@pytest.fixture(params=CONFIGS, ids=lambda x: '1.1' if x.gated else '1.0')
def model(request):
  return request.param, random_model.params(request.param)


@pytest.mark.parametrize('write', [_write, _write_folder])
def test_t5_as_t5x_writes_it(tmp_path, model, write):
  config, params = model
  write(tmp_path / 'm', _target(config, params))
  found_config, found = checkpoints.load(tmp_path / 'm')
  for field in ('num_layers', 'decoder_layers', 'gated', 'head_dim'):
    assert getattr(found_config, field) == getattr(config, field)
  random_model.assert_equal(found, params)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_arrays_of_a_folder_come_into_shards(tmp_path, model):
  _write_folder(tmp_path / 'm', _target(*model))
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  random_model.assert_equal(
    checkpoints.load(tmp_path / 'm', mesh=mesh)[1], model[1]
  )


@pytest.mark.parametrize('write', [_write, _write_folder])
def test_a_damaged_checkpoint_is_told_in_a_line(tmp_path, model, write):
  target = _target(*model)
  write(tmp_path / 'm', target)
  file = tmp_path / 'm'
  file = file / 'checkpoint' if file.is_dir() else file
  data = file.read_bytes()
  for torn in (b'\x81', data[:-1], data + b'x', data[: len(data) // 2]):
    file.write_bytes(torn)
    with pytest.raises(ValueError, match='not a T5X checkpoint: .*; copy') as e:
      checkpoints.load(tmp_path / 'm')
    assert str(file) in str(e.value)
    assert str(e.value).isprintable()
  name = 'encoder.layers_0.attention.out.kernel'
  for damage, message in (
    ({k: x for k, x in target.items() if k != name}, rf'1 missing \({name}\)'),
    (
      target | {name: target[name][1:]},
      rf'another shape \((target\.)?{name} of ',
    ),
    (target | {'other': target[name]}, r'1 left over \((target\.)?other of '),
  ):
    path = tmp_path / str(len(list(tmp_path.iterdir())))
    write(path, damage)
    with pytest.raises(ValueError, match=message) as e:
      checkpoints.load(path)
    assert str(path) in str(e.value)


def test_an_array_that_is_gone(tmp_path, model):
  _write_folder(tmp_path / 'm', _target(*model))
  place = 'target.encoder.layers_0.attention.out.kernel'
  chunk = tmp_path / 'm' / place / '0.0'
  chunk.unlink()
  with pytest.raises(
    ValueError, match=f'm: {place} cannot be read: .* missing'
  ):
    checkpoints.load(tmp_path / 'm')
  shutil.rmtree(chunk.parent)
  with pytest.raises(ValueError, match=f'm: {place} cannot be read: '):
    checkpoints.load(tmp_path / 'm')


@pytest.mark.skipif(not PUBLISHED.exists(), reason='needs the shared data')
def test_a_checkpoint_of_t5x_itself():
  config, params = checkpoints.load(PUBLISHED)
  sizes = config.embed_dim, config.num_heads, config.head_dim, config.hidden_dim
  assert sizes == (8, 4, 3, 16)
  assert (config.num_layers, config.decoder_layers) == (2, 2)
  state = serialization.msgpack_restore(PUBLISHED.read_bytes())
  target = state['optimizer']['target']
  found = params['decoder']['layers_1']['cross_attention']['query']
  kernel = target['decoder']['layers_1']['encoder_decoder_attention']['query']
  np.testing.assert_array_equal(found, kernel['kernel'].reshape(8, 4, 3))
