import os
import pathlib
import subprocess
import sys

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
