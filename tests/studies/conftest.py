import pytest

from tests.sweeps import tiny_pair


@pytest.fixture(scope='session')
def tiny_folder(tmp_path_factory):
  """The folder of a tiny pair."""
  return tiny_pair.save(tmp_path_factory.mktemp('studies') / 'pair')
