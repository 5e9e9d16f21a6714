import errno
import json
import os

import pytest
from etils import epath

from speccascade.storage import files, json_text, lines
from tests.storage import fake_bucket

_ROWS = [{'id': 'a', 'text': 'mots é'}, {'id': 'b'}, {'id': 'c'}]


@pytest.fixture(params=['disk', 'bucket'])
def path(request, tmp_path, monkeypatch):
  """Of a file on a disk and of an object on gs://."""
  if request.param == 'disk':
    return epath.Path(tmp_path / 'run' / 'records.jsonl')
  fake_bucket.install(monkeypatch)
  return epath.Path('gs://bucket/run/records.jsonl')


def _bytes(rows):
  sealed = (json_text.seal(json_text.dumps(row)) for row in rows)
  return ''.join(f'{line}\n' for line in sealed).encode()


def test_reads_back_what_was_appended(path):
  assert lines.read(path) == []
  with lines.Log(path) as log:
    for row in _ROWS:
      log.append([row])
      assert lines.read(path) == log.lines
    assert log.lines == _ROWS
    log.append([])
  assert path.read_bytes() == _bytes(_ROWS)
  with lines.Log(path) as log:
    log.append(_ROWS)
  assert lines.Log(path).lines == _ROWS * 2


def test_a_torn_line_is_dropped_at_every_byte(path):
  first, both = _bytes(_ROWS[:1]), _bytes(_ROWS[:2])
  for end in range(len(first), len(both) - 1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(both[:end])
    assert lines.read(path) == _ROWS[:1]
    with lines.Log(path) as log:
      assert path.read_bytes() == first
      log.append(_ROWS[1:])
    assert lines.read(path) == log.lines == _ROWS


def test_a_whole_line_without_its_newline_counts(path):
  """As an editor leaves it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(_bytes(_ROWS[:2])[:-1])
  assert lines.read(path) == _ROWS[:2]
  lines.Log(path).append(_ROWS[2:])
  assert lines.read(path) == _ROWS


def test_a_line_that_is_refused_is_named_and_nothing_changes(path):
  content = b'{}\n[1\n{"id": "to'
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  for open_ in (lines.read, lines.Log):
    with pytest.raises(ValueError, match=f'{path}:2: .*; correct or delete'):
      open_(path)
    with pytest.raises(ValueError, match="records.jsonl:1: lacks 'id'"):
      open_(path, lambda line: json.loads(line)['id'])
  assert path.read_bytes() == content


@pytest.mark.parametrize(
  'row', [{'id': 'd', 'x': float('nan')}, {'id': 'd', 'x': b''}]
)
def test_what_is_no_json_is_not_written(path, row):
  log = lines.Log(path)
  log.append(_ROWS[:1])
  with pytest.raises(ValueError, match=f"cannot write record 'd' to {path}:"):
    log.append([_ROWS[1], row])
  assert lines.read(path) == log.lines == _ROWS[:1]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
  path = tmp_path / 'records.jsonl'
  log = lines.Log(path)
  log.append(_ROWS[:1])
  kept, pwrite = path.read_bytes(), os.pwrite

  def fill(file, data, start):
    """Takes three bytes, then none."""
    if len(data) < 10:
      raise OSError(errno.ENOSPC, 'No space left on device')
    return pwrite(file, data[:3], start)

  monkeypatch.setattr(lines.os, 'pwrite', fill)
  with pytest.raises(OSError) as error:
    log.append(_ROWS[1:])
  assert (error.value.errno, error.value.filename) == (28, str(path))
  assert path.read_bytes() == kept
  monkeypatch.setattr(lines.os, 'pwrite', pwrite)
  log.append(_ROWS[1:])
  assert path.read_bytes() == _bytes(_ROWS)


def test_an_append_is_synced(tmp_path, monkeypatch):
  path, synced, fsync = tmp_path / 'records.jsonl', [], os.fsync
  monkeypatch.setattr(
    lines.os, 'fsync', lambda f: synced.append(path.read_bytes()) or fsync(f)
  )
  log = lines.Log(path)
  log.append(_ROWS)
  assert synced == [_bytes(_ROWS)] * 2  # And its name in the folder.
  log.append(_ROWS)
  assert synced[2:] == [_bytes(_ROWS * 2)]


def test_a_file_that_another_changed_is_not_spoilt(tmp_path):
  path = tmp_path / 'records.jsonl'
  log = lines.Log(path)
  log.append(_ROWS)
  for other in (_bytes(_ROWS[:1]), _bytes(_ROWS * 2)):
    path.write_bytes(other)
    with pytest.raises(ValueError, match='changed by another program'):
      log.append(_ROWS)
    assert path.read_bytes() == other
  path.unlink()
  with pytest.raises(FileNotFoundError):
    log.append(_ROWS)


def test_a_link_is_refused(tmp_path):
  outside, link = tmp_path / 'outside', tmp_path / 'records.jsonl'
  outside.write_bytes(_bytes(_ROWS))
  link.symlink_to(outside)
  with pytest.raises(ValueError, match=f'{link} is a link'):
    lines.Log(link)
  link.unlink()
  log = lines.Log(link)
  link.symlink_to(outside)  # Since it was opened.
  with pytest.raises(ValueError, match=f'{link} is a link'):
    log.append(_ROWS)
  assert outside.read_bytes() == _bytes(_ROWS)


def test_a_copy_that_shares_its_bytes_is_cut_loose(tmp_path):
  """As `cp -l` makes one."""
  outside, path = tmp_path / 'outside', tmp_path / 'records.jsonl'
  outside.write_bytes(_bytes(_ROWS))
  os.link(outside, path)
  lines.Log(path).append(_ROWS)
  assert outside.read_bytes() == _bytes(_ROWS)
  assert lines.read(path) == _ROWS * 2


def test_an_append_costs_the_same_at_any_length(tmp_path, monkeypatch):
  """It reads nothing: neither the file nor the lines before."""
  path, asked = tmp_path / 'records.jsonl', []
  path.write_bytes(_bytes(_ROWS) * 1000)

  def parse(line):
    asked.append(len(line))
    return json.loads(line)

  log = lines.Log(path, parse)
  asked.clear()
  monkeypatch.setattr(type(epath.Path(path)), 'read_bytes', None)
  log.append(_ROWS[1:])
  assert asked == [len(_bytes([row])) for row in _ROWS[1:]]
  assert len(log.lines) == 3002


def test_an_object_is_not_written_anew_for_each_line(monkeypatch):
  bucket = fake_bucket.install(monkeypatch)
  log = lines.Log('gs://b/records.jsonl')
  for row in _ROWS:
    log.append([row])
  name = 'gs://b/records.jsonl.parts/{:020}.jsonl'
  assert bucket.written == [
    'gs://b/records.jsonl',
    name.format(len(_bytes(_ROWS[:1]))),
    name.format(len(_bytes(_ROWS[:2]))),
  ]
  log.close()
  assert bucket.find('gs://b') == ['/b/records.jsonl']


@pytest.mark.parametrize('size', range(3))
def test_an_object_that_another_writes_is_not_replaced(monkeypatch, size):
  """Two commands may have one folder there, which has no lock."""
  fake_bucket.install(monkeypatch)
  path = epath.Path('gs://b/records.jsonl')
  lines.write(path, _ROWS[:size])
  own, other = lines.Log(path), lines.Log(path)
  other.append(_ROWS[:1])
  with pytest.raises(ValueError, match='another program, which perhaps still'):
    own.append(_ROWS[1:2])
  other.append(_ROWS[2:])
  other.close()
  assert lines.read(path) == _ROWS[:size] + _ROWS[:1] + _ROWS[2:]


def test_lines_are_replaced_with_their_parts(path):
  lines.write(path, _ROWS[:1])
  log = lines.Log(path)
  log.append(_ROWS)
  lines.write(path, _ROWS[1:])
  assert lines.read(path) == _ROWS[1:]
  with pytest.raises(ValueError, match='cannot write record'):
    lines.write(path, [{'id': 'a', 'b': b''}])
  assert path.read_bytes() == _bytes(_ROWS[1:])


@pytest.mark.parametrize('what', ['write', 'delete'])
@pytest.mark.parametrize('calls', range(3))
def test_a_kill_while_parts_are_folded_leaves_no_line_twice(
  monkeypatch, what, calls
):
  bucket = fake_bucket.install(monkeypatch)
  path = epath.Path('gs://b/records.jsonl')
  log = lines.Log(path)
  for row in _ROWS * 2:
    log.append([row])
  bucket.failing = what, calls
  if what == 'write' and calls:  # A fold is one write.
    log.close()
  else:
    with pytest.raises(KeyboardInterrupt):
      log.close()
  bucket.failing = None
  assert lines.read(path) == _ROWS * 2
  again = lines.Log(path)
  again.append(_ROWS)
  again.close()
  assert lines.read(path) == _ROWS * 3
  assert path.read_bytes() == _bytes(_ROWS * 3)


def test_a_missing_part_is_named(monkeypatch):
  fake_bucket.install(monkeypatch)
  path = epath.Path('gs://b/records.jsonl')
  log = lines.Log(path)
  for row in _ROWS:
    log.append([row])
  files.write(path, b'')
  with pytest.raises(ValueError, match='begins at byte .* end at 0; restore'):
    lines.read(path)
