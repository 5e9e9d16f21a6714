import json
import pathlib
import shutil

import pytest

from speccascade import pairs
from tests.sweeps import tiny_pair


def test_a_model_reads_no_further_than_it_was_trained(tmp_path):
  folder = tiny_pair.save(tmp_path / 'pair')
  assert pairs.load(folder).drafter.longest_prompt(0) == 8192
  provenance = {'drafter': {'config': {'length': 256}}}
  (tmp_path / 'pair' / 'provenance.json').write_text(json.dumps(provenance))
  pair = pairs.load(folder)
  assert pair.drafter.longest_prompt(56) == 200
  assert pair.verifier.longest_prompt(56) == 8136


def test_an_unknown_pair_is_one_line():
  with pytest.raises(ValueError, match="no pair 'word_problem': neither"):
    pairs.load('word_problem')


def test_a_missing_model_is_named(tmp_path):
  folder = tiny_pair.save(tmp_path / 'pair')
  (tmp_path / 'pair' / 'verifier.safetensors').unlink()
  with pytest.raises(ValueError, match='verifier.safetensors: no such'):
    pairs.load(folder)


def test_pairs_of_one_folder_name_are_told_apart(tmp_path):
  first = pathlib.Path(tiny_pair.save(tmp_path / 'pair'))
  (tmp_path / 'other').mkdir()
  second = shutil.copytree(first, tmp_path / 'other' / 'pair')
  assert pairs.load(first).name == pairs.load(second).name == 'pair'
  assert pairs.digests(first) == pairs.digests(second)
  model = second / 'drafter.safetensors'
  model.write_bytes(model.read_bytes()[:-1] + b'\x01')
  a, b = pairs.digests(first), pairs.digests(second)
  assert [k for k in a if a[k] != b[k]] == ['drafter.safetensors']
