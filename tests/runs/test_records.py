import json
import subprocess
import sys

import numpy as np
import pytest

from speccascade.runs import records


def _record(name, **changes):
  record = {
    'id': name,
    'task': 'word_problems',
    'pair': 'word_problems',
    'method': 'token_v3',
    'parameters': {'alpha': 0.3},
    'traits': {
      'drafts': True,
      'plan_changes_text': False,
      'divergence_rejects': True,
      'lossless': False,
    },
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
    'example_tokens': [60, 62],
    'example_rejected': [3, 0],
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


def test_torn_last_line_at_every_byte(tmp_path, monkeypatch):
  monkeypatch.setattr(records.os, 'fsync', lambda f: None)  # Slow, 1,400 times.
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


def test_repair_is_synced(tmp_path, monkeypatch):
  path = tmp_path / 'records.jsonl'
  records.append(path, _record('a'))
  whole, synced = path.read_bytes(), []
  path.write_bytes(whole + b'{"id"')
  monkeypatch.setattr(
    records.os, 'fsync', lambda f: synced.append(path.read_bytes())
  )
  records.repair(path)
  assert synced == [whole]


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
    (b'[1]', r'a record must be an object, got \[1\]'),
    (b'{"id": "b"}', "record 'b' lacks block_efficiency, counts"),
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


def _paths(fields, prefix=()):
  """Of all fields, those within a field included."""
  for name, types in fields.items():
    yield (*prefix, name)
    if isinstance(types, dict):
      yield from _paths(types, (*prefix, name))


def _changed(path, change):
  """A record after `change(fields, name)` of the field at a path."""
  record = _record('a')
  *folders, name = path
  fields = record
  for folder in folders:
    fields = fields[folder]
  change(fields, name)
  return record


@pytest.mark.parametrize('path', _paths(records.FIELDS), ids='.'.join)
def test_every_field_is_required(tmp_path, path):
  record = _changed(path, lambda fields, name: fields.pop(name))
  with pytest.raises(ValueError, match=f'lacks {".".join(path)}$'):
    records.append(tmp_path / 'records.jsonl', record)


@pytest.mark.parametrize('path', _paths(records.FIELDS), ids='.'.join)
def test_every_field_has_a_type(tmp_path, path):
  record = _changed(path, lambda fields, name: fields.update({name: b''}))
  with pytest.raises(ValueError, match=f"{'.'.join(path)} must be .* got b''"):
    records.append(tmp_path / 'records.jsonl', record)


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    (('gamma',), None),
    (('schedule',), None),
    (('schedule_parameter',), None),
    (('predicted_seconds',), None),
    (('strict_seconds',), None),
    (('git_revision',), None),
    (('parameters',), {}),
    (('parameters',), {'alpha': 1, 'beta': 0.5}),
    (('versions',), {'flax': None}),
    (('temperature',), 1),
    (('seconds',), [1, 1.5]),
    (('counts', 'divergence'), 0),
  ],
)
def test_what_belongs_is_kept(tmp_path, path, value):
  record = _changed(path, lambda fields, name: fields.update({name: value}))
  records.append(tmp_path / 'records.jsonl', record)
  assert records.read(tmp_path / 'records.jsonl') == [record]


_COUNTS, _TRAITS = _record('a')['counts'], _record('a')['traits']


@pytest.mark.parametrize(
  ('changes', 'complaint'),
  [
    ({'beta': 1.0}, "record 'a' has unknown fields: beta"),
    ({'counts': _COUNTS | {'bonus': 1}}, 'has unknown fields: counts.bonus'),
    ({'traits': _TRAITS | {'exact': True}}, 'unknown fields: traits.exact'),
    ({'gamma': 5.0}, r'gamma must be int or null, got 5.0 \(float\)'),
    ({'gamma': True}, r'gamma must be int or null, got True \(bool\)'),
    ({'quality': np.float32(0.5)}, 'quality must be int or float, .*float32'),
    ({'seconds': 1.0}, 'seconds must be list of int or float, got 1.0'),
    ({'quality': float('nan')}, "record 'a' to .*: Out of range"),
    ({'parameters': {'alpha': float('inf')}}, 'Out of range'),
    ({'seconds': [1.0, np.float32(1)]}, 'seconds must be list of .*float32'),
    ({'parameters': {'alpha': '0.3'}}, 'parameters must be dict of int or'),
    ({'parameters': {'alpha': None}}, 'parameters must be dict of int or'),
    ({'parameters': {1: 0.3}}, 'parameters must be dict'),
    ({'parameters': [0.3]}, 'parameters must be dict'),
    ({'traits': _TRAITS | {'drafts': 1}}, 'traits.drafts must be bool, got 1'),
    ({'counts': _COUNTS | {'tokens': 1.5}}, 'counts.tokens must be int, got'),
    ({'example_tokens': [3, 4.0]}, 'example_tokens must be list of int, got'),
    ({'example_rejected': [True]}, 'example_rejected must be list of int'),
    ({'example_statistics': [1.0]}, 'must be list of list of int or float'),
    ({'example_statistics': [['1'], [1.0]]}, 'must be list of list of int or'),
    ({'versions': {'jax': 1}}, 'versions must be dict of str or null'),
  ],
)
def test_what_does_not_belong_is_named_and_not_written(
  tmp_path, changes, complaint
):
  path = tmp_path / 'records.jsonl'
  with pytest.raises(ValueError, match=complaint):
    records.append(path, _record('a', **changes))
  assert not path.exists()


def test_reading_records_does_not_import_jax():
  code = (
    'import sys; from speccascade.runs import records; '
    'assert "jax" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
