import dataclasses
import importlib.resources
import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from speccascade import pairs
from speccascade.checkpoints import native as checkpoints
from speccascade.models import registry

FAMILIES = list(registry.FAMILIES.values())
SHIPPED = importlib.resources.files('speccascade.pairs') / 'word_problems'


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


def test_an_unknown_pair_is_one_line():
  with pytest.raises(ValueError, match="no pair 'word_problem': neither"):
    pairs.load('word_problem')


def test_a_provenance_that_is_no_json_is_named(folder):
  (folder / 'provenance.json').write_text('{"drafter"')
  with pytest.raises(ValueError, match='provenance.json: not valid JSON') as e:
    pairs.load(folder)
  assert '\n' not in str(e.value)


def test_a_missing_model_is_named(folder):
  (folder / 'verifier.safetensors').unlink()
  with pytest.raises(ValueError, match='verifier.safetensors: no such'):
    pairs.load(folder)


def test_a_tokenizer_with_more_pieces_than_the_model_is_named(save):
  message = 'drafter has a vocabulary of 767, but the tokenizer has 768 pieces'
  with pytest.raises(ValueError, match=message):
    pairs.load(save(FAMILIES[0], vocab_size=767))


def test_pairs_of_one_folder_name_are_told_apart(folder, tmp_path):
  other = shutil.copytree(folder, tmp_path / 'other' / 'pair')
  assert pairs.load(folder).name == pairs.load(other).name == 'pair'
  assert pairs.digests(folder) == pairs.digests(other)
  model = other / 'drafter.safetensors'
  model.write_bytes(model.read_bytes()[:-1] + b'\x01')
  a, b = pairs.digests(folder), pairs.digests(other)
  assert [k for k in a if a[k] != b[k]] == ['drafter.safetensors']
