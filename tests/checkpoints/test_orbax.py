import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util

from speccascade import checkpoints, sharding
from speccascade.checkpoints import orbax, reading, tensors, zarr
from speccascade.models import registry
from speccascade.models.gemma2 import orbax as gemma2
from speccascade.models.gemma3 import orbax as gemma3
from tests.checkpoints import random_model

FAMILIES = {'gemma2': gemma2, 'gemma3': gemma3}
CONFIGS = {
  name: dataclasses.replace(
    registry.FAMILIES[name].examples[0], num_layers=layers
  )
  for name, layers in (('gemma2', 4), ('gemma3', 6))
}


# --- Ours.


@pytest.fixture
def folder(tmp_path):
  config = registry.FAMILIES['qwen3'].examples[0]
  orbax.save(tmp_path / 'm', config, random_model.params(config))
  return tmp_path / 'm'


@pytest.mark.parametrize('name', registry.FAMILIES)
def test_round_trip_of_every_family(tmp_path, name):
  config = registry.FAMILIES[name].examples[0]
  params = random_model.params(config)
  orbax.save(tmp_path / 'm', config, params)
  found_config, found = checkpoints.load(tmp_path / 'm')
  assert found_config == config
  random_model.assert_equal(found, params)
  stored = zarr.arrays(tmp_path / 'm').values()
  assert {str(x.dtype) for x in stored} == {'bfloat16'}


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_chunks_come_into_shards(folder, monkeypatch):
  monkeypatch.setattr(tensors, '_BYTES', 100)  # Less than any chunk.
  want = checkpoints.load(folder)[1]
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  random_model.assert_equal(checkpoints.load(folder, mesh=mesh)[1], want)


def test_a_checkpoint_that_is_there_is_kept(folder):
  config, params = checkpoints.load(folder)
  before = sorted(folder.rglob('*'))
  with pytest.raises(ValueError, match='m is there; give another path'):
    orbax.save(folder, config, params)
  assert sorted(folder.rglob('*')) == before


def test_a_value_that_is_not_finite_is_not_written(tmp_path):
  config = registry.FAMILIES['qwen3'].examples[0]
  params = random_model.params(config)
  params['final_norm']['scale'][-1] = np.nan
  with pytest.raises(ValueError, match="m: tensor 'final_norm.scale' has val"):
    orbax.save(tmp_path / 'm', config, params)
  assert not (tmp_path / 'm').exists()


def _load(folder):
  """(parameters, None), or (None, why there are none)."""
  try:
    return checkpoints.load(folder)[1], None
  except ValueError as error:
    return None, str(error)


def test_a_damaged_folder_is_told_in_a_line(folder, tmp_path):
  """Whatever file is cut, torn or gone."""
  want = checkpoints.load(folder)[1]
  refused = 0
  for i, path in enumerate(sorted(x for x in folder.rglob('*') if x.is_file())):
    for damage in ('cut', 'torn', 'gone'):
      copy = tmp_path / f'copy{i}{damage}'
      shutil.copytree(folder, copy)
      own = copy / path.relative_to(folder)
      data = bytearray(own.read_bytes())
      if damage == 'gone':
        own.unlink()
      elif damage == 'cut':
        own.write_bytes(data[: len(data) // 2])
      else:
        data[len(data) // 2 : len(data) // 2 + 8] = b'\xff' * min(8, len(data))
        own.write_bytes(data)
      found, refusal = _load(copy)
      if refusal is None:
        random_model.assert_equal(found, want)
        continue
      refused += 1
      assert str(copy) in refusal
      assert refusal.isprintable(), refusal
  assert refused > 5


def test_an_array_whose_chunk_is_gone_is_not_taken_for_zeros(tmp_path):
  config = registry.FAMILIES['qwen3'].examples[0]
  params = random_model.params(config)
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as writer:
    writer.save(tmp_path / 'm', params)
  metadata = json.loads((tmp_path / 'm' / '_CHECKPOINT_METADATA').read_text())
  metadata['custom_metadata'] = orbax.native.metadata(config)
  (tmp_path / 'm' / '_CHECKPOINT_METADATA').write_text(json.dumps(metadata))
  random_model.assert_equal(checkpoints.load(tmp_path / 'm')[1], params)
  (tmp_path / 'm' / 'embedding' / '0.0').unlink()
  with pytest.raises(ValueError, match='m: embedding cannot be read: .*missin'):
    checkpoints.load(tmp_path / 'm')


def test_a_digest_tells_the_weights(folder, tmp_path):
  config, params = checkpoints.load(folder)
  digests = {reading.load(checkpoints.open(folder)).digest}
  orbax.save(tmp_path / 'again', config, params)
  digests.add(reading.load(checkpoints.open(tmp_path / 'again')).digest)
  assert len(digests) == 1
  params = params | {'embedding': -params['embedding']}
  orbax.save(tmp_path / 'other', config, params)
  digests.add(reading.load(checkpoints.open(tmp_path / 'other')).digest)
  assert len(digests) == 2


# --- DeepMind's.


def _theirs(params):
  """The parameters as DeepMind stores them, by names with dots."""
  found = {
    'transformer.embedder.input_embedding': params['embedding'],
    'transformer.final_norm.scale': params['final_norm']['scale'],
  }
  for i in range(sum(name.startswith('layers_') for name in params)):
    own = params[f'layers_{i}']
    attention, ffw = own['attention'], own['ffw']
    layer = {
      'attn.q_einsum.w': attention['query'].transpose(1, 0, 2),
      'attn.kv_einsum.w': np.stack(
        [attention[x].transpose(1, 0, 2) for x in ('key', 'value')]
      ),
      'attn.attn_vec_einsum.w': attention['out'],
      'mlp.gating_einsum.w': np.stack([ffw['gate'].T, ffw['up'].T]),
      'mlp.linear.w': ffw['down'],
    }
    layer |= {
      f'attn._{x}.scale': attention[x]
      for x in ('query_norm', 'key_norm')
      if x in attention
    }
    layer |= {
      f'{name}.scale': own[name]['scale'] for name in own if 'norm' in name
    }
    found |= {f'transformer.layer_{i}.{k}': x for k, x in layer.items()}
  return found


def _stacked(theirs, period):
  """Layers of one place of a period, stacked."""
  found, stacks = {}, {}
  for name, x in theirs.items():
    start, _, rest = name.removeprefix('transformer.layer_').partition('.')
    if not name.startswith('transformer.layer_'):
      found[name] = x
      continue
    key = f'transformer.stacked_layers.attention_type_{int(start) % period}'
    stacks.setdefault(f'{key}.{rest}', {})[int(start)] = x
  return found | {
    name: np.stack([layers[i] for i in sorted(layers)])
    for name, layers in stacks.items()
  }


def _flat(theirs):
  """Nested as the first releases were: all but the last part is one key."""
  nested = {}
  for name, x in theirs.items():
    start, _, last = name.rpartition('.')
    nested.setdefault(start.replace('.', '/'), {})[last] = x
  return nested


_NESTED = functools.partial(traverse_util.unflatten_dict, sep='.')


def _write(path, tree, use_ocdbt=True):
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt)
  with ocp.Checkpointer(handler) as writer:
    writer.save(path, jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree))


@pytest.fixture(params=CONFIGS)
def gemma(request, monkeypatch):
  """(configuration, parameters) of a model that counts as published."""
  config = CONFIGS[request.param]
  monkeypatch.setattr(FAMILIES[request.param], '_PRESETS', (lambda: config,))
  return config, random_model.params(config)


@pytest.mark.parametrize('form', ['nested', 'flat', 'stacked', 'files'])
def test_gemma_as_deepmind_publishes_it(tmp_path, gemma, form):
  config, params = gemma
  theirs = _theirs(params)
  # What is of images is passed over.
  theirs['transformer.embedder.mm_input_projection.w'] = np.zeros((2, 2))
  theirs['SigLiPFromPatches_0.siglip_encoder.x'] = np.zeros(2)
  if type(config).__name__ == 'Gemma2Config':
    theirs = {
      k: x for k, x in theirs.items() if 'mm_' not in k and 'Si' not in k
    }
  if form == 'stacked':
    theirs = _stacked(theirs, len(config.kinds))
  tree = _flat(theirs) if form == 'flat' else _NESTED(theirs)
  _write(tmp_path / 'm', tree, use_ocdbt=form != 'files')
  found_config, found = checkpoints.load(tmp_path / 'm')
  assert found_config == config
  random_model.assert_equal(found, params)


def test_another_gemma_is_refused(tmp_path, gemma):
  theirs = _theirs(gemma[1])
  last = max(x for x in theirs if x.startswith('transformer.layer_'))
  layer = '.'.join(last.split('.')[:2]) + '.'
  fewer = {k: x for k, x in theirs.items() if not k.startswith(layer)}
  _write(tmp_path / 'a', _NESTED(fewer))
  with pytest.raises(ValueError, match='a: no published model has . layers of'):
    checkpoints.load(tmp_path / 'a')
  _write(tmp_path / 'b', _NESTED({k: theirs[k] for k in theirs if k != last}))
  with pytest.raises(ValueError, match='b: .* 1 missing'):
    checkpoints.load(tmp_path / 'b')
  first = {k: x for k, x in theirs.items() if 'post_' not in k}
  _write(tmp_path / 'c', _NESTED(first))
  with pytest.raises(ValueError, match="c: models of type 'gemma' are not sup"):
    checkpoints.load(tmp_path / 'c')
