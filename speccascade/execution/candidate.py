"""The process of a program that is not trusted: it defines, then answers calls.

This module needs the standard library alone: it runs outside the package.
"""

import itertools
import json
import os
import struct

import values

_MOST_ITEMS = 1_000_000


def serve(code, means, read_fd, write_fd):
  """Runs a program, then answers what the judge asks until the pipe ends.

  Args:
    code: text of the program.
    means: by which this process is confined, told to the judge.
    read_fd: of the judge's questions.
    write_fd: for answers.
  """
  kept = []

  def keep(value):
    for number, other in enumerate(kept):
      if other is value:
        return number
    kept.append(value)
    return len(kept) - 1

  def answer(*parts):
    send(write_fd, list(parts))

  space = {'__name__': '__main__', '__builtins__': __builtins__}
  try:
    exec(compile(code, 'program', 'exec'), space)
  except BaseException as error:
    answer('error', type(error).__name__, _text(error))
    return
  names = [name for name in space if not name.startswith('__')]
  answer('names', [[[x, _kind(space[x], keep)] for x in names], means])
  while (asked := receive(read_fd)) is not None:
    try:
      what, subject, *rest = [values.decode(x, kept.__getitem__) for x in asked]
      answer('value', values.encode(_DO[what](subject, *rest), keep))
    except BaseException as error:
      answer('error', type(error).__name__, _text(error))


def _kind(value, keep):
  if isinstance(value, type(os)):
    return ['module', value.__name__]
  return values.encode(value, keep)


def _text(error):
  try:
    return str(error)[:200]
  except BaseException:
    return ''


_DO = {
  'call': lambda f, args, named: f(*args, **named),
  'get': getattr,
  'set': setattr,
  'item': lambda x, key: x[key],
  'length': len,
  'items': lambda x: list(itertools.islice(x, _MOST_ITEMS)),
  'text': str,
  'true': bool,
}


def send(fd, message):
  """Writes a message, a JSON text after its length."""
  data = json.dumps(message).encode()
  data = struct.pack('=I', len(data)) + data
  while data:
    data = data[os.write(fd, data) :]


def receive(fd):
  """Reads a message; None at the end."""
  head = _read(fd, 4)
  if head is None:
    return None
  return json.loads(_read(fd, struct.unpack('=I', head)[0]))


def _read(fd, size):
  parts = []
  while size:
    part = os.read(fd, min(size, 1 << 16))
    if not part:
      return None
    parts.append(part)
    size -= len(part)
  return b''.join(parts)
