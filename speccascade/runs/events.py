"""Scalars for TensorBoard: files of events in the folder of a run."""

import types
from collections.abc import Mapping

from etils import epath
from tensorboardX import event_file_writer, record_writer, summary
from tensorboardX.proto import event_pb2

from speccascade import hosts
from speccascade.storage import files
from speccascade.timing import clock


class Writer:
  """Writes scalars to a new file; on any process but the first, nowhere."""

  def __init__(self, folder: epath.PathLike, step: int):
    """Opens the file.

    Args:
      folder: of the run.
      step: first to come; of what earlier files tell from it on, TensorBoard
        forgets.
    """
    self._events = None
    if not hosts.is_first():
      return
    # Without the threads of a SummaryWriter, which outlive a full disk.
    path = epath.Path(folder) / 'events'
    self._events = event_file_writer.EventsWriter(str(path))
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(step, session_log=start)

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """Adds scalars {tag: value} of a step, to be seen from `flush` on."""
    if self._events is not None:
      for tag, value in values.items():
        self._write(step, summary=summary.scalar(tag, value))

  def flush(self) -> None:
    """Makes what was written durable."""
    if self._events is not None:
      self._events.flush()

  def close(self) -> None:
    """Ends the file."""
    if self._events is not None:
      self._events.close()

  def _write(self, step, **what):
    self._events.write_event(
      event_pb2.Event(step=step, wall_time=clock.date(), **what)
    )


def anew(folder: epath.PathLike) -> Writer:
  """Returns the Writer of a run that tells everything again."""
  if hosts.is_first():
    for path in epath.Path(folder).glob('events.out.tfevents.*'):
      path.unlink()
  return Writer(folder, 0)


class _Object:
  """A file on gs://, which cannot grow: written whole at every flush."""

  def __init__(self, path):
    self._path, self._data = path, bytearray()

  def write(self, data):
    self._data += data

  def flush(self):
    files.write(self._path, bytes(self._data))

  close = flush


# tensorboardX's own needs a library that nothing else here does.
record_writer.register_writer_factory('gs', types.SimpleNamespace(open=_Object))
