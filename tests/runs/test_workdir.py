import os
import pathlib
import subprocess
import sys

import pytest

from speccascade import hosts
from speccascade.runs import workdir
from speccascade.storage import files, lines
from tests.storage import fake_bucket

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


_DAMAGED = [
  b'',
  b'{"num_ex',
  b'[]',
  b'3',
  b'\xff',
  b'[' * 10_000,
  b'{"a": NaN}',
]


@pytest.mark.parametrize('content', _DAMAGED)
@pytest.mark.parametrize('claim', ['claim', 'claim_environment'])
def test_a_damaged_config_is_written_anew_before_any_result(
  tmp_path, claim, content
):
  path = tmp_path / f'{claim}.json'
  claim = getattr(workdir, claim)
  claim({'device': 'cpu'}, path)
  kept = path.read_bytes()
  for name in ('.lock', 'environment.json', 'config.json'):
    (tmp_path / name).write_bytes(b'')
  path.write_bytes(content)
  claim({'device': 'cpu'}, path)
  assert path.read_bytes() == kept
  path.write_bytes(content)
  (tmp_path / 'outputs').mkdir()
  with pytest.raises(ValueError, match=f'{path}.*, so nothing tells') as error:
    claim({'device': 'cpu'}, path)
  assert '\n' not in str(error.value)
  assert path.read_bytes() == content


def test_a_kill_during_a_write_leaves_the_old_config(tmp_path, monkeypatch):
  path = tmp_path / 'config.json'
  workdir.claim(_CONFIG, path)
  kept = path.read_bytes()

  def kill(*args):
    raise KeyboardInterrupt

  monkeypatch.setattr(files.os, 'replace', kill)
  with pytest.raises(KeyboardInterrupt):
    workdir.claim(_CONFIG | {'trials': 7}, path, free=('trials',))
  assert path.read_bytes() == kept


def test_an_equal_config_is_not_written_again(tmp_path, monkeypatch):
  """As of a finished folder that nobody may write to any more."""
  workdir.claim(_CONFIG, tmp_path / 'config.json')
  workdir.claim_environment(_MADE, tmp_path / 'environment.json')
  monkeypatch.setattr(files, 'write', None)
  workdir.claim(_CONFIG, tmp_path / 'config.json')
  workdir.claim_environment(_MADE, tmp_path / 'environment.json')


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
from speccascade.storage import files, lines
from tests.storage import fake_bucket
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


def test_a_lock_empties_nothing_outside(tmp_path):
  outside, folder = tmp_path / 'outside', tmp_path / 'run'
  outside.write_text('mine')
  folder.mkdir()
  (folder / '.lock').symlink_to(outside)
  with pytest.raises(ValueError, match=f'{folder}/.lock is a link'):
    with workdir.lock(folder):
      pass
  assert outside.read_text() == 'mine'


@pytest.mark.parametrize(
  'name', ['costs.json', 'outputs', 'outputs/strict.jsonl', 'checkpoints/7']
)
def test_a_link_in_a_folder_is_named(tmp_path, name):
  link = tmp_path / 'run' / name
  link.parent.mkdir(parents=True)
  link.symlink_to(tmp_path)
  with pytest.raises(ValueError, match=f'{link} is a link, and nothing is wr'):
    with workdir.lock(tmp_path / 'run'):
      pass


def test_a_pipe_in_a_folder_is_named_rather_than_read(tmp_path):
  os.mkfifo(tmp_path / 'config.json')
  with pytest.raises(ValueError, match='config.json is not a plain file'):
    with workdir.lock(tmp_path):
      pass


def test_a_folder_may_itself_be_a_link(tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'run').symlink_to(tmp_path / 'disk')
  with workdir.lock(tmp_path / 'run'):
    assert (tmp_path / 'disk' / '.lock').exists()


def test_a_folder_that_cannot_be_one_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  for folder in ('file', 'file/run', 'a' * 300):
    with pytest.raises(OSError) as error:
      with workdir.lock(tmp_path / folder):
        pass
    assert error.value.filename == f'{tmp_path}/{folder}'


def test_a_bucket_has_no_lock(monkeypatch):
  bucket = fake_bucket.install(monkeypatch)
  with workdir.lock('gs://b/run'):
    workdir.claim(_CONFIG, 'gs://b/run/config.json')
    workdir.claim(_CONFIG, 'gs://b/run/config.json')
  assert bucket.written == ['gs://b/run/config.json']


def test_all_processes_have_what_a_kill_left_in_a_bucket(monkeypatch):
  fake_bucket.install(monkeypatch)
  monkeypatch.setattr(hosts, 'is_several', lambda: True)
  folder, names = 'gs://b/run', ('timings.jsonl', 'outputs/chow.jsonl')
  rows = [{'id': name, 'example': n} for name in names for n in range(3)]
  workdir.claim(_CONFIG, f'{folder}/config.json')
  for name in names:
    log = lines.Log(f'{folder}/{name}')
    for row in rows:
      log.append([row])  # A part each, which nothing folds.
  sent = []
  monkeypatch.setattr(hosts, 'bytes_of_first', sent.append)
  with workdir.own(folder) as own:
    assert str(own) == folder
  monkeypatch.setattr(hosts, 'is_first', lambda: False)
  monkeypatch.setattr(hosts, 'bytes_of_first', lambda _: sent[0])
  with workdir.own(folder) as own:
    for name in names:
      assert lines.read(own / name) == rows
    workdir.claim(_CONFIG, own / 'config.json')
    found = [*own.glob('*.*'), *own.glob('*/*.*')]
    assert len(found) == 3


@pytest.mark.parametrize('blind', [[], [1]])
def test_processes_must_share_a_folder(tmp_path, monkeypatch, blind):
  seen = []

  def which(flag):
    seen.append((flag, len(list(tmp_path.glob('run/.*.new')))))
    return blind

  monkeypatch.setattr(hosts, 'is_several', lambda: True)
  monkeypatch.setattr(hosts, 'bytes_of_first', lambda data: data)
  monkeypatch.setattr(hosts, 'wait', lambda: None)
  monkeypatch.setattr(hosts, 'which', which)
  if blind:
    told = f'process 1 does not see what process 0 writes to {tmp_path}/run, '
    with pytest.raises(ValueError, match=told):
      workdir.check_shared(tmp_path / 'run')
  else:
    workdir.check_shared(tmp_path / 'run')
  assert seen == [(False, 1)]  # The first itself sees its file.
  assert not list((tmp_path / 'run').iterdir())
