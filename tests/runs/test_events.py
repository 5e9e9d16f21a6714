"""Files of events: where they are whole, and whose they are."""

import jax
import pytest

from speccascade.runs import events
from tests.runs import event_files
from tests.storage import fake_bucket


def test_what_is_flushed_is_there_while_the_file_is_open(tmp_path):
  writer = events.Writer(tmp_path, 3)
  writer.write(3, {'a': 1.5, 'b/c': 2.0})
  writer.write(4, {'a': 0.25})
  writer.flush()
  told = [('a', 3, 1.5), ('b/c', 3, 2.0), ('a', 4, 0.25)]
  assert event_files.scalars(tmp_path) == told
  writer.write(5, {'a': 7})
  writer.close()
  assert event_files.scalars(tmp_path) == [*told, ('a', 5, 7)]


def test_a_bucket_has_the_whole_file_after_each_flush(monkeypatch):
  bucket = fake_bucket.install(monkeypatch)
  writer = events.Writer('gs://bucket/run', 0)
  for step in (1, 2, 3):
    writer.write(step, {'a': step})
    writer.flush()
    (path,) = set(bucket.written)
    version, start, *rest = event_files.parse(bucket.cat_file(path))
    assert version.file_version == 'brain.Event:2'
    assert (start.step, start.session_log.status) == (0, 1)
    assert [event.step for event in rest] == [*range(1, step + 1)]
  writer.close()


def test_a_run_that_tells_all_again_drops_what_was_told(tmp_path):
  (tmp_path / 'events.out.tfevents.1.x').write_bytes(b'old')
  (tmp_path / 'other').touch()
  writer = events.anew(tmp_path)
  writer.write(1, {'a': 1})
  writer.close()
  assert event_files.scalars(tmp_path) == [('a', 1, 1)]
  assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize('make', [lambda x: events.Writer(x, 0), events.anew])
def test_other_processes_than_the_first_touch_nothing(
  tmp_path, monkeypatch, make
):
  (tmp_path / 'events.out.tfevents.1.x').touch()
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  writer = make(tmp_path)
  writer.write(1, {'a': 1})
  writer.flush()
  writer.close()
  assert len(list(tmp_path.iterdir())) == 1
