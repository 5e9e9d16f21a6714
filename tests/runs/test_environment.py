import subprocess

import jax
import pytest

from speccascade.runs import environment


def test_the_device_and_the_versions_are_described():
  described = environment.describe()
  assert described.keys() == {'device', 'versions', 'git_revision'}
  assert described['device'].startswith('cpu (')
  assert described['versions']['jax'] == jax.__version__


def test_the_code_of_a_few_rooms_has_a_digest(tmp_path, monkeypatch):
  """An edit elsewhere leaves it; which rooms they are matters."""
  for name in ('runs/environment', 'reports/report', 'decoding/loop', 'config'):
    file = tmp_path / f'{name}.py'
    file.parent.mkdir(exist_ok=True)
    file.write_text('')
  file = tmp_path / 'runs' / 'environment.py'
  monkeypatch.setattr(environment, '__file__', str(file))
  digest = environment.code_digest
  before = digest('decoding', 'config')
  assert digest('config', 'decoding', 'decoding/loop') == before
  assert len({before, digest('decoding'), digest('config')}) == 3
  (tmp_path / 'reports' / 'report.py').write_text('a = 1')
  assert digest('decoding', 'config') == before
  for name in ('config', 'decoding/loop'):
    last = digest('decoding', 'config')
    (tmp_path / f'{name}.py').write_text('a = 1')
    assert digest('decoding', 'config') != last
  last = digest('decoding')
  (tmp_path / 'decoding' / 'new.py').write_text('')
  assert digest('decoding') != last
  with pytest.raises(ValueError, match="'decodin' is no folder or module"):
    digest('decodin')


def test_git_revision(tmp_path, monkeypatch):
  def git(*args):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b']
    return subprocess.run(
      ['git', '-C', tmp_path, *identity, *args],
      check=True,
      capture_output=True,
      text=True,
    ).stdout.strip()

  file = tmp_path / 'environment.py'
  file.write_text('')
  monkeypatch.setattr(environment, '__file__', str(file))
  assert environment._git_revision() is None  # No checkout.
  git('init', '-q')
  git('commit', '-q', '--allow-empty', '-m', "another project's")
  assert environment._git_revision() is None  # The checkout has not this file.
  git('add', 'environment.py')
  git('commit', '-q', '-m', 'ours')
  head = git('rev-parse', 'HEAD')
  assert environment._git_revision() == head
  (tmp_path / 'untracked').write_text('')
  assert environment._git_revision() == head
  file.write_text('changed')
  assert environment._git_revision() == f'{head}-dirty'
  monkeypatch.setenv('PATH', '')
  assert environment._git_revision() is None  # No git.
