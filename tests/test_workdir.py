import os
import pathlib
import subprocess
import sys

import pytest
from etils import epath

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


def test_a_kill_while_writing_leaves_the_old_config(tmp_path, monkeypatch):
  path = tmp_path / 'config.json'
  config = tiny_pair.config('any')
  workdir.claim(config, path)
  kept = path.read_bytes()

  def tear(self, text):
    with open(self, 'w') as f:
      f.write(text[:40])
    raise KeyboardInterrupt

  monkeypatch.setattr(type(epath.Path(path)), 'write_text', tear)
  with pytest.raises(KeyboardInterrupt):
    workdir.claim(config, path)
  assert path.read_bytes() == kept


def test_code_that_no_commit_holds_has_a_digest(tmp_path, monkeypatch):
  for name in ('workdir.py', 'rules.py'):
    (tmp_path / name).write_text('a = 1')
  monkeypatch.setattr(workdir, '__file__', str(tmp_path / 'workdir.py'))
  before = workdir.code_digest()
  assert workdir.code_digest() == before
  (tmp_path / 'rules.py').write_text('a = 2')
  changed = workdir.code_digest()
  (tmp_path / 'new.py').write_text('')
  assert len({before, changed, workdir.code_digest()}) == 3


_MADE = {'device': 'cpu', 'versions': {'jax': '1'}, 'git_revision': 'abc-dirty'}


@pytest.mark.parametrize(
  ('changed', 'told'),
  [
    ({'device': 'gpu'}, r'device cpu \(now gpu\); choose another workdir'),
    ({'versions': {'jax': '2'}}, r'with versions\.jax 1 \(now 2\);'),
    ({'git_revision': 'abc'}, r'git_revision abc-dirty \(now abc\)'),
    (
      {'git_revision': None, 'device': 'gpu'},
      r'device cpu \(now gpu\), git_revision abc-dirty \(now None\)',
    ),
  ],
)
def test_a_folder_belongs_to_what_made_it(tmp_path, changed, told):
  path = tmp_path / 'run' / 'environment.json'
  workdir.claim_environment(_MADE, path)
  workdir.claim_environment(_MADE, path)
  kept = path.read_bytes()
  with pytest.raises(ValueError, match=told) as error:
    workdir.claim_environment(_MADE | changed, path)
  assert '\n' not in str(error.value)
  assert path.read_bytes() == kept


_HOLD = """
import sys, time
from speccascade import workdir
with workdir.lock(sys.argv[1]):
  print('held', flush=True)
  time.sleep(600)
"""


def test_a_folder_belongs_to_one_process_until_it_is_killed(tmp_path):
  folder = tmp_path / 'run'
  root = pathlib.Path(workdir.__file__).parents[1]
  other = subprocess.Popen(
    [sys.executable, '-c', _HOLD, folder],
    env=os.environ | {'PYTHONPATH': str(root)},
    stdout=subprocess.PIPE,
    text=True,
  )
  assert other.stdout.readline() == 'held\n'
  with pytest.raises(ValueError, match='another process is writing to .*run;'):
    with workdir.lock(folder):
      pass
  other.kill()
  other.wait()
  for _ in range(2):
    with workdir.lock(folder):
      pass
