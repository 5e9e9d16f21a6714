"""Tests of speccascade.records."""

import json
import subprocess

import numpy as np
import pytest

from speccascade import records


def _record(name, **changes):
  record = {
    'id': name,
    'task': 'word_problems',
    'pair': 'word_problems',
    'rule': 'token_v3',
    'alpha': 0.3,
    'gamma': 5,
    'schedule': 'fixed',
    'schedule_parameter': None,
    'temperature': 1.0,
    'top_p': 1.0,
    'top_k': 0,
    'seed': 0,
    'num_examples': 500,
    'metric': 'exact_match',
    'quality': 0.951,
    'quality_stderr': 0.0096,
    'example_statistics': [[1.0, 1], [0.0, 1]],
    'output_length': 61.3,
    'latency_examples': 10,
    'seconds': [1.2, 1.25],
    'verifier_seconds': [4.0, 5.0],
    'strict_seconds': [1.5, 1.5],
    'example_seconds': [0.25, 0.5],
    'predicted_seconds': 0.7,
    'relative_latency': [0.3, 0.25],
    'counts': {
      'tokens': 30650,
      'verifier_calls': 7300,
      'drafter_steps': 43800,
      'drafted': 43800,
      'accepted': 28200,
      'rejected': 2450,
      'deferred': 3000,
      'divergence': 11.5,
      'accepted_lengths': [1, 2, 3, 4, 5, 6, 7],
    },
    'block_efficiency': 4.2,
    'rejection_rate': 0.08,
    'device': 'cpu (AMD EPYC), 2 cores',
    'dtype': 'float32',
    'versions': {'jax': '0.10.2'},
    'git_revision': None,
  }
  return record | changes


def test_reads_back_what_was_appended(tmp_path):
  path = tmp_path / 'sweep' / 'records.jsonl'
  assert records.read(path) == []
  for name in 'abc':
    records.append(path, _record(name))
  assert records.read(path) == [_record(name) for name in 'abc']
  assert path.read_bytes().count(b'\n') == 3


def test_torn_last_line_at_every_byte(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.append(path, _record('a', task='mots é'))
  first = path.read_bytes()
  records.append(path, _record('b'))
  both = path.read_bytes()
  for end in range(len(first), len(both)):
    path.write_bytes(both[:end])
    assert [r['id'] for r in records.read(path)] == ['a']
    records.repair(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize('lost', [1, 2, 100])
@pytest.mark.parametrize('repaired', [True, False])
def test_append_never_glues(tmp_path, lost, repaired):
  path = tmp_path / 'records.jsonl'
  records.append(path, _record('a'))
  records.append(path, _record('b'))
  whole = path.read_bytes()
  path.write_bytes(whole[:-lost])
  if repaired:
    records.repair(path)
  records.append(path, _record('b'))
  assert path.read_bytes() == whole


def test_repair_leaves_whole_lines_alone(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.repair(path)
  assert not path.exists()
  records.append(path, _record('a'))
  whole = path.read_bytes()
  records.repair(path)
  assert path.read_bytes() == whole


def test_append_is_one_synced_write(tmp_path, monkeypatch):
  path = tmp_path / 'records.jsonl'
  synced = []
  fsync = records.os.fsync
  monkeypatch.setattr(
    records.os, 'fsync', lambda f: synced.append(path.read_bytes()) or fsync(f)
  )
  records.append(path, _record('a'))
  assert synced == [path.read_bytes()]  # flushed before it is synced


def test_objects_that_cannot_grow_are_rewritten(tmp_path, monkeypatch):
  path = tmp_path / 'records.jsonl'
  monkeypatch.setattr(records, '_is_local', lambda path: False)
  records.append(path, _record('a'))
  path.write_bytes(path.read_bytes() + b'{"id": "b"')
  records.append(path, _record('c'))
  assert [r['id'] for r in records.read(path)] == ['a', 'c']


def test_an_id_is_recorded_once(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.append(path, _record('a'))
  with pytest.raises(ValueError, match="already has a record 'a'"):
    records.append(path, _record('a', seed=1))
  path.write_bytes(path.read_bytes() * 2)
  with pytest.raises(ValueError, match=r"records.jsonl:2: a second record 'a'"):
    records.read(path)


@pytest.mark.parametrize(
  ('line', 'complaint'),
  [
    (b'', 'Expecting value'),
    (b'{"id": "b', 'Unterminated string'),
    (b'\x00\xff', "can't decode|Expecting value"),
    (b'[1]', 'not a record'),
    (b'{"id": "b"}', "record 'b' lacks alpha, block_efficiency"),
  ],
)
def test_a_corrupt_line_is_named(tmp_path, line, complaint):
  path = tmp_path / 'records.jsonl'
  records.append(path, _record('a'))
  first = path.read_bytes()
  last = json.dumps(_record('c')).encode()
  path.write_bytes(first + line + b'\n' + last + b'\n')
  with pytest.raises(ValueError, match=f'records.jsonl:2: .*({complaint})'):
    records.read(path)


@pytest.mark.parametrize('field', [*records.FIELDS, *records.COUNTS])
def test_every_field_is_demanded(tmp_path, field):
  record = _record('a')
  del (record if field in record else record['counts'])[field]
  with pytest.raises(ValueError, match=f'lacks {field}'):
    records.append(tmp_path / 'records.jsonl', record)


@pytest.mark.parametrize(
  ('changes', 'complaint'),
  [
    ({'beta': 1.0}, 'has beta, unknown'),
    ({'counts': _record('a')['counts'] | {'bonus': 1}}, 'has bonus, unknown'),
    ({'gamma': 5.0}, 'gamma is 5.0, float'),
    ({'quality': np.float32(0.5)}, 'quality is .*float32'),
    ({'seconds': 1.0}, 'seconds is 1.0, float'),
    ({'quality': float('nan')}, "record 'a': Out of range"),
    ({'seconds': [np.float32(1)]}, "record 'a': .*float32.* not JSON"),
  ],
)
def test_what_does_not_belong_is_named_and_not_written(
  tmp_path, changes, complaint
):
  path = tmp_path / 'records.jsonl'
  with pytest.raises(ValueError, match=complaint):
    records.append(path, _record('a', **changes))
  assert not path.exists()


def test_environment_fills_its_fields(tmp_path):
  environment = records.environment()
  assert environment.keys() == {'device', 'versions', 'git_revision'}
  assert environment['device'].startswith('cpu (')
  assert environment['versions']['jax'].count('.') == 2
  records.append(tmp_path / 'records.jsonl', _record('a', **environment))


def test_git_revision(tmp_path, monkeypatch):
  def git(*args):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b']
    return subprocess.run(
      ['git', '-C', tmp_path, *identity, *args],
      check=True,
      capture_output=True,
      text=True,
    ).stdout.strip()

  file = tmp_path / 'records.py'
  file.write_text('')
  monkeypatch.setattr(records, '__file__', str(file))
  assert records._git_revision() is None  # no checkout
  git('init', '-q')
  git('commit', '-q', '--allow-empty', '-m', "another project's")
  assert records._git_revision() is None  # a checkout, but not of this file
  git('add', 'records.py')
  git('commit', '-q', '-m', 'ours')
  head = git('rev-parse', 'HEAD')
  assert records._git_revision() == head
  (tmp_path / 'untracked').write_text('')
  assert records._git_revision() == head
  file.write_text('changed')
  assert records._git_revision() == f'{head}-dirty'
  monkeypatch.setenv('PATH', '')
  assert records._git_revision() is None  # no git
