"""metrics.jsonl of a run that was killed, resumed or meddled with."""

import struct

import pytest
from tensorboardX.proto import event_pb2

from speccascade.training import metrics


def _write(folder, first, *steps):
  with metrics.Writer(folder, first, 24) as writer:
    for step in steps:
      writer.write(step, {'loss': step / 3}, rate=2.0)


def _steps(folder):
  return [line['step'] for line in metrics.read(folder)]


def test_lines_past_the_checkpoint_and_a_torn_one_are_written_again(tmp_path):
  assert metrics.read(tmp_path) == []
  _write(tmp_path, 0, 1, 2, 3)
  with (tmp_path / 'metrics.jsonl').open('a') as f:
    f.write('{"step": 4, "lo')
  assert _steps(tmp_path) == [1, 2, 3]
  _write(tmp_path, 2, 3, 4)
  assert _steps(tmp_path) == [1, 2, 3, 4]
  assert metrics.read(tmp_path)[2] == {'step': 3, 'loss': 1.0}


@pytest.mark.parametrize(
  'line',
  ['[]', '{"loss": 1}', '{"step": "1"}', '{"step": NaN}', '{', '\x1b[31m'],
)
def test_a_damaged_line_is_named_and_kept(tmp_path, line):
  _write(tmp_path, 0, 1, 2)
  path = tmp_path / 'metrics.jsonl'
  path.write_text(path.read_text() + line + '\n{"step": 3}\n')
  text = path.read_text()
  with pytest.raises(ValueError, match=r'metrics.jsonl:3: ') as error:
    _write(tmp_path, 2, 3)
  assert '\n' not in str(error.value)
  assert path.read_text() == text


def test_metrics_are_not_written_through_a_link(tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'mine').write_text('')
  (tmp_path / 'run' / 'metrics.jsonl').symlink_to(tmp_path / 'mine')
  with pytest.raises(ValueError, match=r'metrics.jsonl is a link'):
    _write(tmp_path / 'run', 0, 1)
  assert (tmp_path / 'mine').read_text() == ''


def test_tensorboard_has_the_metrics_and_forgets_what_is_written_again(
  tmp_path,
):
  _write(tmp_path, 2, 3, 4)
  (path,) = tmp_path.glob('events.out.tfevents.*')
  data, events = path.read_bytes(), []
  while data:  # A length, its checksum, an event and its checksum.
    (size,) = struct.unpack('<Q', data[:8])
    events.append(event_pb2.Event.FromString(data[12 : 12 + size]))
    data = data[16 + size :]
  version, start, *rest = events
  assert version.file_version == 'brain.Event:2'
  assert (start.step, start.session_log.status) == (3, 1)
  assert [
    (event.step, value.tag, value.simple_value)
    for event in rest
    for value in event.summary.value
  ] == [(3, 'loss', 1.0), (4, 'loss', pytest.approx(4 / 3))]
