import os

import jax
import pytest

from speccascade.sweeps import compilation


@pytest.fixture
def cached(monkeypatch, tmp_path):
  """Where programs are kept, after `keep`, by the setting before."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  before = jax.config.jax_compilation_cache_dir

  def keep(setting=None):
    jax.config.update('jax_compilation_cache_dir', setting)
    compilation.keep()
    return jax.config.jax_compilation_cache_dir

  yield keep
  jax.config.update('jax_compilation_cache_dir', before)


def test_programs_are_kept_for_this_user_and_machine(
  cached, tmp_path, monkeypatch
):
  folder = cached()
  (found,) = (tmp_path / 'speccascade').iterdir()
  assert str(found) == folder
  assert os.stat(found).st_mode & 0o077 == 0
  assert cached() == folder
  monkeypatch.setattr(compilation.jaxlib, '__version__', '0.0.1')
  assert cached() != folder


def test_a_folder_that_is_set_is_respected(cached, tmp_path):
  assert cached('/elsewhere') == '/elsewhere'
  assert not list(tmp_path.iterdir())


def test_nothing_is_kept_where_nothing_can_be_written(
  cached, tmp_path, monkeypatch
):
  (tmp_path / 'speccascade').touch()
  assert cached() is None
  monkeypatch.delenv('XDG_CACHE_HOME')
  monkeypatch.setenv('HOME', str(tmp_path / 'speccascade'))
  assert cached() is None
