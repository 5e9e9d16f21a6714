"""A JSONL file that grows by whole lines, which survive a kill.

A process killed during a write leaves a torn last line, which reading skips
and the next `Log` removes, so no two lines are ever joined. Objects on gs://
cannot grow: there an append is an object of its own, in the folder
`<name>.parts`, named by the length of all lines before it. The next `Log`
folds the parts into the file; those that lie within its length are in it
already, which a kill between leaves behind.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from etils import epath

from speccascade.storage import files, json_text

PARTS = '.parts'  # Ends the name of their folder.


class Later(ValueError):
  """A line of a later version, which nobody is to correct or delete."""


def read(
  path: epath.PathLike, parse: Callable[[bytes], Any] = json_text.loads
) -> list[Any]:
  """Returns the parsed complete lines; none if the file is missing.

  Args:
    path: JSONL file.
    parse: of a line.

  Raises:
    ValueError: `parse` refused a line; the message names the file and line.
    OSError: the file cannot be read.
  """
  path = epath.Path(path)
  return _parsed(path, parse, content(path))


def content(path: epath.PathLike) -> bytes:
  """Returns all complete lines as a file has them; none if it is missing.

  Raises:
    ValueError: lines between others are missing.
    OSError: the file cannot be read.
  """
  return _whole(_content(epath.Path(path)))


def write(path: epath.PathLike, objects: Iterable[Any]) -> None:
  """Replaces all lines at once; a kill leaves the old ones or the new ones.

  A `Log` of this file that is open is of no use afterwards.

  Raises:
    ValueError: an object is no JSON; nothing was written.
    OSError: as `files.write`.
  """
  path = epath.Path(path)
  data = b''.join(_line(path, x) for x in objects)
  if not files.is_local(path):
    _fold(path, _content(path))  # Its parts would follow the new lines.
  files.write(path, data)


class Log:
  """A JSONL file that this process alone appends to.

  Attributes:
    lines: all lines in order, parsed; `append` adds to them.
  """

  def __init__(
    self,
    path: epath.PathLike,
    parse: Callable[[bytes], Any] = json_text.loads,
  ):
    """Reads the file, if it is there, and repairs it.

    Args:
      path: JSONL file.
      parse: of a line.

    Raises:
      ValueError: `parse` refused a line, or the file is a link; the message
        names the file and line. The file is as it was.
      OSError: the file cannot be read or written.
    """
    self._path, self._parse = epath.Path(path), parse
    if files.is_local(path):
      files.refuse_link(path)
    content = _content(self._path)
    whole = _whole(content)
    self.lines = _parsed(self._path, parse, whole)
    self._size = len(whole)
    if not files.is_local(path):
      _fold(self._path, whole)
    elif content != whole or _is_shared(self._path):
      files.write(path, whole)

  def append(self, objects: Iterable[Any]) -> None:
    """Appends a line for each object, durably: all of them or none.

    Raises:
      ValueError: an object is no JSON, `parse` refuses it, or another program
        has appended; nothing was written.
      OSError: the disk is full, ...; nothing was written.
    """
    new = [_line(self._path, x) for x in objects]
    if not new:
      return
    parsed = [self._parse(line) for line in new]
    data = b''.join(new)
    if files.is_local(self._path):
      _grow(self._path, self._size, data)
    else:
      _put(self._path, self._size, data)
    self._size += len(data)
    self.lines += parsed

  def close(self) -> None:
    """Leaves one file; nothing to do for one on a disk."""
    if not files.is_local(self._path):
      _fold(self._path, _content(self._path))

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self.close()


def _line(path, value):
  try:
    text = json_text.dumps(value)
    sealed = json_text.seal(text) if isinstance(value, dict) else text
    return sealed.encode() + b'\n'
  except ValueError as error:
    known = isinstance(value, dict) and 'id' in value
    name = f'record {value["id"]!r}' if known else 'a line'
    raise ValueError(f'cannot write {name} to {path}: {error}') from error


def _is_shared(path):
  """Whether another name, such as one that `cp -l` made, has the same bytes."""
  return path.exists() and os.stat(path).st_nlink > 1


def _content(path):
  """All bytes, with the parts that a file on gs:// is not yet one with."""
  try:
    content = path.read_bytes()
  except FileNotFoundError:
    content = b''
  if files.is_local(path):
    return content
  content = _whole(content)
  folded = len(content)
  for start, part in _list_parts(path):
    if start < folded:  # A kill came between folding and deleting.
      continue
    if start != len(content):
      raise ValueError(
        f'{part} begins at byte {start}, but {path} and the parts before it '
        f'end at {len(content)}; restore what is missing or use a new folder'
      )
    content += part.read_bytes()
  return content


def _whole(content):
  """Without a torn last line; one that lacks its newline alone is whole."""
  end = content.rfind(b'\n') + 1
  try:
    complete = isinstance(json_text.loads(content[end:]), dict)
  except ValueError:
    complete = False
  return content + b'\n' if complete else content[:end]


def _parsed(path, parse, whole):
  parsed = []
  for number, line in enumerate(whole.split(b'\n')[:-1], start=1):
    try:
      parsed.append(parse(line))
    except Later as error:
      raise ValueError(f'{path}:{number}: {error}') from error
    except (ValueError, LookupError, TypeError) as error:
      reason = f'lacks {error}' if isinstance(error, KeyError) else error
      raise ValueError(
        f'{path}:{number}: {reason}; correct or delete this line'
      ) from error
  return parsed


def _parts(path):
  return path.with_name(path.name + PARTS)


def _list_parts(path):
  """(first byte, path) of all parts in order."""
  folder = _parts(path)
  found = folder.glob('*.jsonl') if folder.exists() else ()
  return sorted((int(x.stem), x) for x in found if x.stem.isdigit())


def _fold(path, whole):
  """Makes one object of a file and its parts."""
  parts = _list_parts(path)
  if whole and (parts or path.read_bytes() != whole):
    path.write_bytes(whole)
  for _, part in parts:
    part.unlink()


def _put(path, size, data):
  """Writes an object that follows those of so many bytes."""
  own = _parts(path) / f'{size:020}.jsonl' if size else path
  if own.exists() and (size or own.read_bytes()):  # Nothing locks it there.
    raise ValueError(
      f'{path} was changed by another program, which perhaps still runs; end '
      'it, and start this one again'
    )
  own.write_bytes(data)


def _grow(path, size, data):
  """Writes at the end of a file; a failure leaves it as it was."""
  with files.naming(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    create = 0 if size else os.O_CREAT
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | create, 0o666)
    try:
      if os.fstat(file).st_size != size:
        raise ValueError(
          f'{path} was changed by another program; start this one again'
        )
      try:
        _write_at(file, size, data)
        os.fsync(file)
      except BaseException:
        os.ftruncate(file, size)
        raise
    finally:
      os.close(file)
    if not size:
      files.sync_folder(path.parent)


def _write_at(file, start, data):
  """A full disk takes a part and fails at the next call."""
  rest = memoryview(data)
  while rest:
    written = os.pwrite(file, rest, start)
    start, rest = start + written, rest[written:]
