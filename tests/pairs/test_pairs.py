import dataclasses
import importlib.resources
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sentencepiece import sentencepiece_model_pb2

from speccascade import config as config_lib
from speccascade import pairs, sharding, tokenizers
from speccascade.checkpoints import convert, hugging_face
from speccascade.checkpoints import load as load_checkpoint
from speccascade.checkpoints import native as checkpoints
from speccascade.models import registry, stacking
from speccascade.pairs import config as pairs_config

FAMILIES = list(registry.FAMILIES.values())
SHIPPED = importlib.resources.files('speccascade.pairs') / 'word_problems'
T5_TOKENIZER = (
  pathlib.Path(__file__).parents[3]
  / 'shared/data/tokenizers/t5_spiece_32100.model'
)


@pytest.fixture(scope='module')
def save(tmp_path_factory):
  """Saves a pair of tiny models of a family; returns its folder."""
  made = {}

  def save(family, vocab_size=768):
    if (family.name, vocab_size) not in made:
      folder = tmp_path_factory.mktemp('saved') / 'pair'
      folder.mkdir()
      shutil.copy(str(SHIPPED / 'tokenizer.model'), folder)
      config = dataclasses.replace(family.examples[0], vocab_size=vocab_size)
      init = registry.make_model(config).init
      shapes = jax.eval_shape(init, jax.random.key(0))
      params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
      for role in ('drafter', 'verifier'):
        checkpoints.save(folder / f'{role}.safetensors', config, params)
      made[family.name, vocab_size] = folder
    return made[family.name, vocab_size]

  return save


@pytest.fixture
def folder(save, tmp_path):
  """A pair that a test may change."""
  return shutil.copytree(save(FAMILIES[0]), tmp_path / 'pair')


@pytest.mark.parametrize('family', FAMILIES, ids=lambda f: f.name)
def test_a_model_reads_no_further_than_it_was_trained(save, tmp_path, family):
  folder = shutil.copytree(save(family), tmp_path / 'pair')
  whole = pairs.load(folder)
  assert whole.drafter == whole.verifier
  longest = whole.drafter.longest_prompt(0)
  trained = dict.fromkeys(family.lengths.values(), longest - 3)
  (folder / 'provenance.json').write_text(
    json.dumps({'drafter': {'config': trained}})
  )
  pair = pairs.load(folder)
  assert pair.drafter.longest_prompt(0) == longest - 3
  assert pair.verifier == whole.verifier


def _refused(pair, message):
  with pytest.raises(ValueError, match=message) as e:
    pairs.load(pair)
  assert str(e.value).isprintable()


@pytest.mark.parametrize('name', ['word_problem', 'gs', 'README', '-', '_'])
def test_a_name_is_that_of_a_shipped_pair(name):
  message = (
    f"no pair '{name}' is shipped, only translation, word_problems; write a "
    'path to load a folder'
  )
  _refused(name, message)


def test_a_name_is_no_folder_and_a_path_no_name(folder, tmp_path, monkeypatch):
  """`word_problems` here is another pair than the shipped one."""
  here = tmp_path / 'here'
  shutil.copytree(folder, here / 'word_problems')
  shutil.copytree(folder, here / 'mine')
  monkeypatch.chdir(here)
  own = pairs.load(folder).digests
  assert pairs.load('word_problems').digests != own
  paths = ('./word_problems', 'word_problems/', './mine', '../here/mine')
  for path in (*paths, str(here / 'mine'), pathlib.Path('word_problems')):
    assert pairs.load(path).digests == own, path
  assert pairs.load('./word_problems').name == 'word_problems'
  _refused('mine', r"'mine' is shipped, .*; for the folder, write \./mine$")
  monkeypatch.chdir(here / 'mine')
  for path in ('.', './', '../mine/.', '../mine/../mine'):
    assert pairs.load(path).digests == own, path
  assert pairs.load('.').name == 'mine'


@pytest.mark.parametrize('path', ['', './none', '../none', '/none', 'a.b', ' '])
def test_a_path_that_is_no_folder(path, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match=f"^no pair '{path}': there is no such"):
    pairs.load(path)


def test_a_file_is_no_pair(folder):
  _refused(folder / 'tokenizer.model', 'there is no such folder')


@pytest.mark.parametrize(
  'file', ['drafter.safetensors', 'tokenizer.model', 'provenance.json']
)
def test_a_folder_in_place_of_a_file(folder, file):
  (folder / file).unlink(missing_ok=True)
  (folder / file).mkdir()
  _refused(folder, f'{file}.* a folder')


def test_a_missing_model_is_named(folder):
  (folder / 'verifier.safetensors').unlink()
  with pytest.raises(ValueError, match='verifier.safetensors: no such'):
    pairs.load(folder)


def test_a_tokenizer_with_more_pieces_than_the_model_is_named(save):
  message = 'drafter.safetensors has a vocabulary of 767, but the tokenizer has'
  _refused(save(FAMILIES[0], vocab_size=767), message)


@pytest.mark.parametrize('family', FAMILIES, ids=lambda f: f.name)
def test_rows_that_pad_a_vocabulary_are_cut(save, tmp_path, family):
  """For both models; what remains is as it was."""
  folder = shutil.copytree(save(family), tmp_path / 'pair')
  path = folder / 'verifier.safetensors'
  config = dataclasses.replace(family.examples[0], vocab_size=780)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32),
    jax.eval_shape(registry.make_model(config).init, jax.random.key(0)),
  )
  checkpoints.save(path, config, params, 'float32')
  pair = pairs.load(folder)
  assert pair.verifier.vocab_size == pair.drafter.vocab_size == 768
  assert pair.verifier.vocab_size == pair.tokenizer.vocab_size

  def check(x, old):
    assert x.shape == tuple(768 if n == 780 else n for n in old.shape)
    np.testing.assert_array_equal(x, old[: len(x)])

  jax.tree.map(check, pair.verifier_params, params)
  loaded, _ = pairs.load_drafter(path, pair)
  assert loaded.config == pair.verifier.config


def test_a_vocabulary_that_is_more_than_padded(save, tmp_path):
  """Of another tokenizer, unless the provenance knows better."""
  folder = shutil.copytree(save(FAMILIES[0], 900), tmp_path / 'pair')
  _refused(folder, 'has a vocabulary of 900, but the tokenizer has 768 pieces')
  digest = tokenizers.load(folder).file_digest
  told = dict.fromkeys(
    ('drafter', 'verifier'), {'origin': {'tokenizer': digest}}
  )
  (folder / 'provenance.json').write_text(json.dumps(told))
  pair = pairs.load(folder)
  assert pair.drafter.vocab_size == pair.verifier.vocab_size == 768


@pytest.mark.skipif(not T5_TOKENIZER.exists(), reason='needs shared data')
def test_a_t5_with_its_own_tokenizer(tmp_path):
  """Which has 32,100 pieces, no beginning, and rows up to a multiple of 128."""
  shutil.copy(T5_TOKENIZER, tmp_path / 'tokenizer.model')
  family = registry.FAMILIES['t5']
  config = dataclasses.replace(family.examples[1], vocab_size=32_128)
  init = registry.make_model(config).init
  shapes = jax.eval_shape(init, jax.random.key(0))
  params = jax.tree.map(lambda x: np.zeros(x.shape), shapes)
  for role in ('drafter', 'verifier'):
    checkpoints.save(tmp_path / f'{role}.safetensors', config, params)
  pair = pairs.load(tmp_path)
  assert pair.drafter.vocab_size == pair.verifier.vocab_size == 32_128
  assert pair.drafter.pieces == pair.verifier.pieces == 32_100
  assert pair.eos_ids == (1,)
  tokenizer = pair.tokenizer
  assert tokenizer.decode([tokenizer.vocab_size - 1]) is not None
  token_BxS, length_B = tokenizers.encode_prompts(tokenizer, ['a house'], 9)
  assert token_BxS[0, : length_B[0]].tolist() == tokenizer.encode('a house')


def test_a_decoder_starts_from_the_padding(save, tmp_path):
  folder = shutil.copytree(save(registry.FAMILIES['t5']), tmp_path / 'pair')
  pair = pairs.load(folder)
  tokenizer = dataclasses.replace(pair.tokenizer, pad_id=3)
  pair = dataclasses.replace(pair, tokenizer=tokenizer)
  with pytest.raises(ValueError, match='starts from token 0, which is not the'):
    pairs.load_drafter(folder / 'drafter.safetensors', pair)


def test_a_drafter_that_is_larger_than_its_verifier(save, tmp_path):
  """Equal ones are a pair; a larger drafter must be told to be meant."""
  folder = shutil.copytree(save(FAMILIES[0]), tmp_path / 'pair')
  larger = dataclasses.replace(
    FAMILIES[0].examples[0], vocab_size=768, hidden_dim=24
  )
  shapes = jax.eval_shape(registry.make_model(larger).init, jax.random.key(0))
  params = jax.tree.map(lambda x: np.zeros(x.shape), shapes)
  checkpoints.save(folder / 'verifier.safetensors', larger, params)
  pair = pairs.load(folder)
  _swap(folder)
  _refused(folder, 'the drafter has .* more than .* swap the two, or tell num_')
  sizes = {
    role: {'num_params': sum(x.size for x in jax.tree.leaves(params))}
    for role, params in zip(('verifier', 'drafter'), pair.params, strict=True)
  }
  (folder / 'provenance.json').write_text(json.dumps(sizes))
  assert pairs.load(folder).drafter == pair.verifier
  _swap(folder)
  _refused(
    folder, 'drafter.safetensors has .* but provenance.json tells .*swap'
  )


def _swap(folder):
  drafter, verifier = (folder / f'{x}.safetensors' for x in pairs.ROLES)
  drafter.rename(folder / 'swap')
  verifier.rename(drafter)
  (folder / 'swap').rename(verifier)


def test_the_shipped_pairs_tell_of_their_files(tmp_path):
  """Another tokenizer of the same size, and weights with one bit flipped."""
  folder = shutil.copytree(str(SHIPPED), tmp_path / 'pair')
  pairs.load(folder)
  tokenizer = (folder / 'tokenizer.model').read_bytes()
  model = sentencepiece_model_pb2.ModelProto.FromString(tokenizer)
  model.pieces[-1].piece, model.pieces[-2].piece = (
    model.pieces[-2].piece,
    model.pieces[-1].piece,
  )
  (folder / 'tokenizer.model').write_bytes(model.SerializeToString())
  _refused(folder, 'tokenizer.model is not the tokenizer of the drafter that')
  (folder / 'tokenizer.model').write_bytes(tokenizer)
  weights = bytearray((folder / 'drafter.safetensors').read_bytes())
  weights[-2] ^= 1
  (folder / 'drafter.safetensors').write_bytes(weights)
  _refused(folder, 'drafter.safetensors is not the drafter that provenance')


def test_pairs_of_one_folder_name_are_told_apart(folder, tmp_path):
  other = shutil.copytree(folder, tmp_path / 'other' / 'pair')

  def differ():
    a, b = pairs.load(folder), pairs.load(other)
    assert a.name == b.name == 'pair'
    assert a.digests.keys() == b.digests.keys()
    return [k for k in a.digests if a.digests[k] != b.digests[k]]

  assert not differ()
  path = other / 'drafter.safetensors'
  config, params = load_checkpoint(path)
  params['final_norm']['scale'] += 1
  checkpoints.save(path, config, params)
  assert differ() == ['drafter']
  told = {'verifier': {'config': {'length': 40}, 'seconds': 3}}
  (other / 'provenance.json').write_text(json.dumps(told))
  assert differ() == ['drafter', 'lengths']
  told['verifier']['seconds'] = 4
  (folder / 'provenance.json').write_text(json.dumps(told))
  assert differ() == ['drafter']


# --- Models in place of those of a pair.


@pytest.fixture
def published(save, tmp_path):
  """Folders of two models, with their tokenizer, and more rows each."""
  folders = []
  for rows, name in ((776, 'small'), (784, 'large')):
    config = dataclasses.replace(FAMILIES[0].examples[0], vocab_size=rows)
    init = registry.make_model(config).init
    shapes = jax.eval_shape(init, jax.random.key(0))
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
    hugging_face.save(tmp_path / name, config, params)
    shutil.copy(str(SHIPPED / 'tokenizer.model'), tmp_path / name)
    folders.append(tmp_path / name)
  return folders


def test_two_models_are_a_pair_of_their_common_pieces(published):
  drafter, verifier = published
  pair = pairs.load(drafter=drafter, verifier=str(verifier))
  assert pair.name == 'small+large'
  assert pair.drafter.vocab_size == pair.verifier.vocab_size == 768
  assert len(pair.drafter_params['embedding']) == 768
  assert pair.eos_ids == (1,)


def test_one_model_takes_the_place_of_a_pair_s_own(published, folder):
  own = pairs.load(folder)
  pair = pairs.load(folder, drafter=published[0])
  assert pair.name == 'small+pair'
  assert pair.digests['verifier'] == own.digests['verifier']
  assert pair.digests['drafter'] != own.digests['drafter']
  assert pair.verifier == own.verifier


def test_a_verifier_without_a_tokenizer_tells_what_ends_its_answers(published):
  drafter, verifier = published
  (verifier / 'tokenizer.model').unlink()
  before = pairs.load(drafter=drafter, verifier=verifier)
  config = json.loads((verifier / 'config.json').read_text())
  config['eos_token_id'] = [1, 5]
  (verifier / 'config.json').write_text(json.dumps(config))
  after = pairs.load(drafter=drafter, verifier=verifier)
  assert (before.eos_ids, after.eos_ids) == ((1,), (1, 5))
  assert before.digests['tokenizer'] != after.digests['tokenizer']
  config['eos_token_id'] = 768
  (verifier / 'config.json').write_text(json.dumps(config))
  with pytest.raises(
    ValueError, match='large/config.json: eos_token_id 768 is'
  ):
    pairs.load(drafter=drafter, verifier=verifier)


def test_a_file_has_the_tokenizer_beside_it(published, tmp_path):
  convert.convert(published[0], tmp_path / 'a' / 'm', 'native', None)
  with pytest.raises(ValueError, match='m: no tokenizer is there'):
    pairs.load(drafter=tmp_path / 'a' / 'm', verifier=tmp_path / 'a' / 'm')
  shutil.copy(str(SHIPPED / 'tokenizer.model'), tmp_path / 'a')
  pair = pairs.load(drafter=tmp_path / 'a' / 'm', verifier=tmp_path / 'a' / 'm')
  assert pair.tokenizer.path == str(tmp_path / 'a' / 'tokenizer.model')


def test_models_of_two_tokenizers_are_no_pair(published, folder):
  model = sentencepiece_model_pb2.ModelProto()
  path = published[1] / 'tokenizer.model'
  model.ParseFromString(path.read_bytes())
  model.pieces[700].piece += 'x'
  path.write_bytes(model.SerializeToString())
  for given in (dict(drafter=published[0]), {}):
    with pytest.raises(ValueError, match='differ: token 700 is '):
      pairs.load(folder, verifier=published[1], **given)


def test_models_without_a_tokenizer_or_a_partner(published):
  drafter, verifier = published
  for path in published:
    (path / 'tokenizer.model').unlink()
  with pytest.raises(ValueError, match='large: no tokenizer is there'):
    pairs.load(drafter=drafter, verifier=verifier)
  with pytest.raises(ValueError, match='give its name, or drafter and verif'):
    pairs.load(drafter=drafter)


def test_a_config_names_int8_weights_of_each_model(folder):
  own = pairs.load(folder)
  for roles in (['drafter'], ['verifier'], ['drafter', 'verifier']):
    fields = {f'{role}_weights': 'int8' for role in roles}
    models = config_lib.parse(
      pairs_config.Models, {'pair': str(folder), **fields}
    )
    pair = models.load_pair()
    changed = {k for k, x in pair.digests.items() if x != own.digests[k]}
    narrow = {
      role
      for role in ('drafter', 'verifier')
      if getattr(pair, f'{role}_params')['embedding'].dtype == jnp.int8
    }
    assert changed == narrow == set(roles)
    told = ', '.join(f'int8 {role}' for role in roles)
    assert models.numbers == f'float32, {told}'
  assert pairs_config.Models(pair=str(folder)).numbers == 'float32'
  loaded, params = pairs.load_drafter(
    folder / 'drafter.safetensors', own, weights='int8'
  )
  assert loaded.config == own.drafter.config
  assert params['embedding'].dtype == jnp.int8


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_devices_of_a_drafter_that_do_not_divide_a_mesh_are_one_line(folder):
  mesh = sharding.make_mesh(2, 4, jax.devices()[:8])
  with pytest.raises(ValueError, match='^drafter_devices=3 must divide the 4 '):
    pairs.load(folder, mesh=mesh, drafter_devices=3)
  with pytest.raises(ValueError, match='^drafter_devices=2 must divide the 1 '):
    pairs.load(folder, drafter_devices=2)


def test_a_bad_choice_of_weights_is_one_line(folder):
  with pytest.raises(ValueError, match="^verifier_weights='int4' must be None"):
    pairs.load(folder, verifier_weights='int4')
  with pytest.raises(ValueError, match="^weights='int8' cannot be trained"):
    pairs.load(folder, drafter_weights='int8', fully=True)
  with pytest.raises(ValueError) as error:
    config_lib.parse(
      pairs_config.Models, {'pair': 'x', 'drafter_weights': 'int4'}
    )
  assert str(error.value) == "drafter_weights='int4': it must be 'int8'"


def test_a_config_names_a_pair_or_two_models(published):
  drafter, verifier = map(str, published)
  models = pairs_config.Models(drafter=drafter, verifier=verifier)
  pair = models.load_pair()
  assert pair.name == 'small+large'
  assert not stacking.stacks_of(pair.verifier_params)
  stacked = models.model_copy(update={'stacked': True}).load_pair()
  assert stacking.stacks_of(stacked.drafter_params)
  assert stacking.stacks_of(stacked.verifier_params)
  with pytest.raises(ValueError, match='pair must be set, or drafter and'):
    config_lib.parse(pairs_config.Models, {'drafter': drafter})
