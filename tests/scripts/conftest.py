import pytest

from tests.scripts import fake_cloud


@pytest.fixture
def make(tmp_path):
  return lambda **options: fake_cloud.Cloud(tmp_path, **options)
