"""Kills: a run that ends in the middle of an append."""

from speccascade.storage import lines


class Killed(BaseException):
  """Stands for the end of the process: nothing catches it."""


def at(monkeypatch, mark):
  """Ends the run once so many bytes were appended, the last line torn."""
  left = [mark]
  append = lines.Log.append

  def append_until(log, objects):
    objects = list(objects)
    data = b''.join(lines._line(log._path, x) for x in objects)
    if len(data) < left[0]:
      left[0] -= len(data)
      append(log, objects)
      return
    log._path.parent.mkdir(parents=True, exist_ok=True)
    with open(log._path, 'ab') as f:
      f.write(data[: left[0]])
    raise Killed

  monkeypatch.setattr(lines.Log, 'append', append_until)
