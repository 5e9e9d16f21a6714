import pytest

from speccascade import workdir
from tests.sweeps import tiny_pair


def test_a_folder_belongs_to_one_config(tmp_path):
  path = tmp_path / 'run' / 'config.json'
  config = tiny_pair.config('any')
  workdir.claim(config, path)
  kept = path.read_bytes()
  workdir.claim(config, path)
  assert path.read_bytes() == kept
  config.num_examples, config.trials = 11, 7
  with pytest.raises(ValueError, match='another num_examples; choose another'):
    workdir.claim(config, path, free=('trials',))
  assert path.read_bytes() == kept
  config.num_examples = 10
  workdir.claim(config, path, free=('trials',))


def test_a_torn_config_is_written_anew(tmp_path):
  path = tmp_path / 'config.json'
  config = tiny_pair.config('any')
  workdir.claim(config, path)
  kept = path.read_bytes()
  path.write_bytes(kept[:40])
  workdir.claim(config, path)
  assert path.read_bytes() == kept
