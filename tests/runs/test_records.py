import json
import subprocess
import sys

import numpy as np
import pytest

from speccascade.runs import records


def _record(name, **changes):
  record = {
    'schema': 2,
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
    'max_new_tokens': 128,
    'more': {'f1': 0.5},
    'family': 'token',
    'positions': [[57, 62], [62, 60]],
    'num_examples': 2,
    'metric': 'exact_match',
    'quality': 0.951,
    'quality_stderr': 0.0096,
    'example_statistics': [[1.0, 1], [0.0, 1]],
    'example_tokens': [60, 62],
    'example_rejected': [3, 0],
    'output_length': 61.3,
    'latency_examples': 2,
    'seconds': [1.2, 1.25],
    'verifier_seconds': [4.0, 5.0],
    'verifier_example_seconds': [2.0, 2.5],
    'strict_seconds': [1.5, 1.5],
    'example_seconds': [0.25, 0.5],
    'timed_tokens': [60, 62],
    'timed_calls': [14, 15],
    'timed_differs': 0.5,
    'predicted_seconds': 0.7,
    'relative_latency': [0.3, 0.25],
    'costs': [1.0, 1.5],
    'cost_spread': 1.2,
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
  log = records.log(path)
  for name in 'abc':
    log.append([_record(name)])
  assert records.read(path) == log.lines == [_record(name) for name in 'abc']
  assert path.read_bytes().count(b'\n') == 3


def test_records_are_replaced_at_once(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.write(path, map(_record, 'abc'))
  records.write(path, [_record('b', seed=1)])
  assert records.read(path) == [_record('b', seed=1)]
  with pytest.raises(ValueError, match="record 'd': quality must be number"):
    records.write(path, [_record('c'), _record('d', quality='1')])
  assert records.read(path) == [_record('b', seed=1)]


def test_an_id_is_recorded_once(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.write(path, [_record('a'), _record('a', seed=1)])
  for read in (records.read, records.log):
    with pytest.raises(
      ValueError, match="records.jsonl:2: a second record 'a'"
    ):
      read(path)


@pytest.mark.parametrize(
  ('line', 'complaint'),
  [
    (b'', 'Expecting value'),
    (b'{"id": "b', 'Unterminated string'),
    (b'\xff\x00', 'byte 1 is not UTF-8'),
    (b'{"id": "b", "id": "c"}', "the key 'id' is there twice"),
    (b'[' * 10_000, 'nested too deeply'),
    (b'[1]', r'a record must be an object, got \[1\]'),
    (b'3', 'a record must be an object, got 3'),
    (b'{"id": "b"}', "record 'b' lacks block_efficiency, counts"),
  ],
)
def test_a_corrupt_line_is_named(tmp_path, line, complaint):
  path = tmp_path / 'records.jsonl'
  first, last = (json.dumps(_record(x)).encode() for x in 'ac')
  path.write_bytes(b'\n'.join((first, line, last, b'')))
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


_MISSING = {
  'schema': 2,
  'num_examples': 2,
  'output_length': 61.0,
  'block_efficiency': 30650 / 7300,
  'rejection_rate': 2450 / 30650,
  'relative_latency': [1.2 / 4.0, 1.25 / 5.0],
  'versions': {},
  'more': {},
  'positions': [],
} | dict.fromkeys(
  (
    'family',
    'max_new_tokens',
    'timed_tokens',
    'timed_calls',
    'timed_differs',
    'predicted_seconds',
    'verifier_example_seconds',
    'strict_seconds',
    'costs',
    'cost_spread',
    'git_revision',
  )
)


@pytest.mark.parametrize('path', _paths(records.FIELDS), ids='.'.join)
def test_a_missing_field_is_told_by_others_or_named(path):
  record = _changed(path, lambda fields, name: fields.pop(name))
  line = json.dumps(record).encode()
  if path[0] in _MISSING:
    want = _record('a', **{path[0]: _MISSING[path[0]]})
    assert records.parse(line) == want
  else:
    with pytest.raises(ValueError, match=f'lacks {".".join(path)}$'):
      records.parse(line)


@pytest.mark.parametrize('path', _paths(records.FIELDS), ids='.'.join)
def test_every_field_has_a_type(path):
  record = _changed(path, lambda fields, name: fields.update({name: b''}))
  with pytest.raises(ValueError, match=f"{'.'.join(path)} must be .* got b''"):
    records.check(record)


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    (('gamma',), None),
    (('schedule',), None),
    (('schedule_parameter',), None),
    (('predicted_seconds',), None),
    (('verifier_example_seconds',), None),
    (('strict_seconds',), None),
    (('timed_differs',), None),
    (('git_revision',), None),
    (('parameters',), {}),
    (('parameters',), {'alpha': 1, 'beta': 0.5}),
    (('versions',), {'flax': None}),
    (('temperature',), 1),
    (('seconds',), [1, 1.5]),
    (('counts', 'divergence'), 0),
    (('bonus',), [{'a': None}]),  # Fields of a later version, or of a friend.
    (('counts', 'bonus'), 1.5),
    (('traits', 'exact'), 'often'),
  ],
)
def test_what_belongs_is_kept(tmp_path, path, value):
  record = _changed(path, lambda fields, name: fields.update({name: value}))
  for _ in range(2):
    records.write(tmp_path / 'records.jsonl', [record])
    assert records.read(tmp_path / 'records.jsonl') == [record]


def test_records_without_a_schema_are_of_the_first():
  """As they were written before it was named."""
  unknown = (
    'timed_tokens',
    'timed_calls',
    'timed_differs',
    'verifier_example_seconds',
    'costs',
    'cost_spread',
  )
  new = {'schema', *unknown}
  old = {k: x for k, x in _record('a').items() if k not in new}
  assert records.upgrade(old) == _record('a') | dict.fromkeys(unknown)


def test_what_cannot_be_told_is_missing():
  record = _record('a', example_tokens=[10**400, 1], verifier_seconds=[0, 1])
  del record['output_length'], record['relative_latency']
  with pytest.raises(ValueError, match='lacks output_length, relative_latency'):
    records.check(records.upgrade(record))


def test_an_upgrade_is_a_step_from_each_schema_to_the_next(monkeypatch):
  steps = {
    1: lambda record: record | {'schema': 2},
    2: lambda record: record | {'schema': 3, 'quality': record['score']},
  }
  monkeypatch.setattr(records, 'SCHEMA', 3)
  monkeypatch.setattr(records, '_UPGRADES', steps)
  for schema in ({}, {'schema': 1}, {'schema': 2}):
    found = records.upgrade({'id': 'a', 'score': 0.5, **schema})
    assert (found['schema'], found['quality']) == (3, 0.5)


def test_a_later_schema_asks_for_an_update(tmp_path):
  path = tmp_path / 'records.jsonl'
  path.write_text(json.dumps({'schema': 3, 'id': 'a'}) + '\n')
  with pytest.raises(ValueError) as error:
    records.read(path)
  assert str(error.value) == (
    f"{path}:1: record 'a' is of schema 3, but this speccascade reads schemas "
    'up to 2; update speccascade'
  )


_COUNTS, _TRAITS = _record('a')['counts'], _record('a')['traits']


@pytest.mark.parametrize(
  ('changes', 'complaint'),
  [
    ({'schema': '2'}, "schema must be int from 1 on, got '2'"),
    ({'schema': True}, 'schema must be int from 1 on, got True'),
    ({'schema': 0}, 'schema must be int from 1 on, got 0'),
    ({'gamma': 5.0}, r'gamma must be int or null, got 5.0 \(float\)'),
    ({'gamma': True}, r'gamma must be int or null, got True \(bool\)'),
    ({'quality': np.float32(0.5)}, 'quality must be number, .*float32'),
    ({'seconds': 1.0}, 'seconds must be list of number, got 1.0'),
    ({'quality': float('nan')}, 'quality must be number, got nan'),
    ({'quality': 10**400}, 'quality must be number, got 1000'),
    ({'seed': 2**63}, 'seed must be int, got 9223372036854775808'),
    ({'parameters': {'alpha': float('inf')}}, 'parameters must be dict of'),
    ({'seconds': [1.0, float('nan')]}, 'seconds must be list of number, got'),
    ({'seconds': [1.0, np.float32(1)]}, 'seconds must be list of .*float32'),
    ({'parameters': {'alpha': '0.3'}}, 'parameters must be dict of number'),
    ({'parameters': {'alpha': None}}, 'parameters must be dict of number'),
    ({'parameters': {1: 0.3}}, 'parameters must be dict'),
    ({'parameters': [0.3]}, 'parameters must be dict'),
    ({'traits': _TRAITS | {'drafts': 1}}, 'traits.drafts must be bool, got 1'),
    ({'counts': _COUNTS | {'tokens': 1.5}}, 'counts.tokens must be int, got'),
    ({'example_tokens': [3, 4.0]}, 'example_tokens must be list of int, got'),
    ({'example_rejected': [True]}, 'example_rejected must be list of int'),
    ({'example_statistics': [1.0]}, 'must be list of list of number'),
    ({'example_statistics': [['1'], [1.0]]}, 'must be list of list of number'),
    ({'versions': {'jax': 1}}, 'versions must be dict of str or null'),
    ({'seconds': [0.0, 1.0]}, 'seconds must be positive'),
    ({'verifier_seconds': [0, 0]}, 'verifier_seconds must be positive'),
    (
      {'verifier_example_seconds': [0, 1]},
      'verifier_example_seconds must be positive',
    ),
    ({'num_examples': 0}, 'num_examples must be positive'),
    ({'latency_examples': -1}, 'latency_examples must be positive'),
    ({'counts': _COUNTS | {'tokens': 0}}, 'counts.tokens must be positive'),
    ({'counts': _COUNTS | {'accepted_lengths': [1, -1]}}, 'must not be negat'),
    ({'temperature': -1.0}, 'temperature must not be negative'),
    ({'seconds': []}, 'seconds must have at least one value'),
    ({'num_examples': 3}, 'example_statistics must have 3 values, as num_ex'),
    ({'latency_examples': 3}, 'example_seconds must have 3 values, as latency'),
    (
      {'verifier_example_seconds': [1.0]},
      'verifier_example_seconds must have 2 values, as latency_examples',
    ),
    ({'relative_latency': [1.0]}, 'relative_latency must have 2 values, as'),
    ({'example_statistics': [[1.0], [1.0, 2]]}, 'must all have one length'),
  ],
)
def test_what_does_not_belong_is_named(changes, complaint):
  with pytest.raises(ValueError, match=f"record 'a'.*{complaint}"):
    records.check(records.upgrade(_record('a', **changes)))


def test_reading_records_does_not_import_jax():
  code = (
    'import sys; from speccascade.runs import records; '
    'assert "jax" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
