import os
import pathlib
import subprocess
import sys

import pytest
from etils import epath

from speccascade.runs import workdir

_CONFIG = {'num_examples': 10, 'methods': {'chow': (0.3,)}, 'trials': 2}


def test_a_folder_belongs_to_one_config(tmp_path):
  path = tmp_path / 'run' / 'config.json'
  workdir.claim(_CONFIG, path)
  kept = path.read_bytes()
  workdir.claim(_CONFIG, path)
  assert path.read_bytes() == kept
  other = _CONFIG | {'num_examples': 11, 'trials': 7, 'seed': 1}
  with pytest.raises(ValueError) as error:
    workdir.claim(other, path, free=('trials',))
  assert str(error.value) == (
    f'{tmp_path}/run was created with a different config (changed: '
    'num_examples, seed); use a new --workdir or restore the original config'
  )
  assert path.read_bytes() == kept
  workdir.claim(_CONFIG | {'trials': 7}, path, free=('trials',))
  assert path.read_bytes() != kept


def test_a_field_within_a_field_counts(tmp_path):
  path = tmp_path / 'config.json'
  workdir.claim(_CONFIG, path)
  with pytest.raises(ValueError, match=r'\(changed: methods\)'):
    workdir.claim(_CONFIG | {'methods': {'chow': (0.4,)}}, path)


def test_a_torn_config_is_written_anew(tmp_path):
  path = tmp_path / 'config.json'
  workdir.claim(_CONFIG, path)
  kept = path.read_bytes()
  path.write_bytes(kept[:40])
  workdir.claim(_CONFIG, path)
  assert path.read_bytes() == kept


def test_a_kill_during_a_write_leaves_the_old_config(tmp_path, monkeypatch):
  path = tmp_path / 'config.json'
  workdir.claim(_CONFIG, path)
  kept = path.read_bytes()

  def tear(self, text):
    with open(self, 'w') as f:
      f.write(text[:40])
    raise KeyboardInterrupt

  monkeypatch.setattr(type(epath.Path(path)), 'write_text', tear)
  with pytest.raises(KeyboardInterrupt):
    workdir.claim(_CONFIG | {'trials': 7}, path, free=('trials',))
  assert path.read_bytes() == kept


_MADE = {'device': 'cpu', 'versions': {'jax': '1'}, 'git_revision': 'abc-dirty'}


@pytest.mark.parametrize(
  ('changed', 'told'),
  [
    ({'device': 'gpu'}, 'device cpu (now gpu)'),
    ({'versions': {'jax': '2'}}, 'versions.jax 1 (now 2)'),
    ({'git_revision': 'abc'}, 'git_revision abc-dirty (now abc)'),
    (
      {'git_revision': None, 'device': 'gpu'},
      'device cpu (now gpu), git_revision abc-dirty (now None)',
    ),
  ],
)
def test_a_folder_belongs_to_one_environment(tmp_path, changed, told):
  path = tmp_path / 'run' / 'environment.json'
  workdir.claim_environment(_MADE, path)
  workdir.claim_environment(_MADE, path)
  kept = path.read_bytes()
  with pytest.raises(ValueError) as error:
    workdir.claim_environment(_MADE | changed, path)
  assert str(error.value) == (
    f'{tmp_path}/run was created with {told}; use a new --workdir or restore '
    'the original environment'
  )
  assert path.read_bytes() == kept


_HOLD = """
import sys, time
from speccascade.runs import workdir
with workdir.lock(sys.argv[1]):
  print('held', flush=True)
  time.sleep(600)
"""


def test_a_folder_belongs_to_one_process_until_it_is_killed(tmp_path):
  folder = tmp_path / 'run'
  root = pathlib.Path(workdir.__file__).parents[2]
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
