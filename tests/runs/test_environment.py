import subprocess

from speccascade.runs import environment


def test_the_device_and_the_versions_are_described():
  described = environment.describe()
  assert described.keys() == {'device', 'versions', 'git_revision'}
  assert described['device'].startswith('cpu (')
  assert described['versions']['jax'].count('.') == 2


def test_uncommitted_code_has_a_digest(tmp_path, monkeypatch):
  """Of all files of the package, not only of this folder's."""
  runs = tmp_path / 'runs'
  runs.mkdir()
  for file in (runs / 'environment.py', tmp_path / 'loop.py'):
    file.write_text('a = 1')
  monkeypatch.setattr(environment, '__file__', str(runs / 'environment.py'))
  before = environment.code_digest()
  assert environment.code_digest() == before
  (tmp_path / 'loop.py').write_text('a = 2')
  changed = environment.code_digest()
  (tmp_path / 'new.py').write_text('')
  assert len({before, changed, environment.code_digest()}) == 3


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
