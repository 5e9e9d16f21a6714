"""Runs the tests of programs, each of which runs in a process of its own.

A script, by itself: a line of stdin is a job, and a line of stdout its outcome.
The tests run here, on what the program's functions return over a pipe. A value
that is not plain stays with the program; here it is a `Remote`.

This module needs the standard library alone: it runs outside the package.
"""

import importlib
import json
import os
import resource
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import candidate  # noqa: E402
import confinement  # noqa: E402
import values  # noqa: E402

# Modules that tests may use because the program imports them: none that reads,
# writes or starts anything.
_MODULES = {
  'bisect', 'cmath', 'collections', 'copy', 'datetime', 'decimal', 'fractions',
  'functools', 'heapq', 'itertools', 'math', 'operator', 're', 'statistics',
  'string', 'sys',
}  # fmt: skip
# Modules that a program has without reading their files: another user may not.
_AT_HAND = _MODULES | {
  'abc', 'array', 'calendar', 'contextlib', 'dataclasses', 'enum', 'hashlib',
  'json', 'numbers', 'queue', 'random', 'struct', 'textwrap', 'threading',
  'time', 'types', 'typing', 'unicodedata', 'warnings',
}  # fmt: skip
_STEP = 1 << 16
_MOST_BYTES = 1 << 32  # Of the judge's own memory.


class _Failed(Exception):
  """The program did not answer as it should."""


class Remote:
  """Stands for a value that the program keeps."""

  def __init__(self, ask, number):
    object.__setattr__(self, '_ask', ask)
    object.__setattr__(self, '_number', number)

  def __call__(self, *args, **named):
    """Returns what the program's function returns."""
    return self._ask('call', self, list(args), named)

  def __getattr__(self, name):
    return self._ask('get', self, name)

  def __setattr__(self, name, value):
    self._ask('set', self, name, value)

  def __getitem__(self, key):
    return self._ask('item', self, key)

  def __iter__(self):
    return iter(self._ask('items', self))

  def __len__(self):
    return self._ask('length', self)

  def __bool__(self):
    return self._ask('true', self)

  def __str__(self):
    return self._ask('text', self)


class _Process:
  """A program that was started, and what it is asked."""

  def __init__(self, job):
    self._limits = job['limits']
    self._end = time.monotonic() + self._limits['wall_s']
    self._left = self._limits['output_bytes']
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    self._pid = os.fork()
    if not self._pid:
      _become(job, down_read, up_write, {down_write, up_read})
    os.close(down_read)
    os.close(up_write)
    self._write_fd, self._read_fd = down_write, up_read

  def begin(self):
    """({name: value} of what the program defined, what confines it)."""
    found, (names, means) = {}, self._answer('names')
    for name, told in names:
      if told and told[0] == 'module':
        if told[1] in _MODULES:
          found[name] = importlib.import_module(told[1])
      else:
        found[name] = values.decode(told, self._remote)
    return found, means

  def _remote(self, number):
    return Remote(self._ask, number)

  def _ask(self, what, *parts):
    def number(value):
      if isinstance(value, Remote):
        return object.__getattribute__(value, '_number')
      raise _Failed(f'a test gives a {type(value).__name__}')

    message = [what, *(values.encode(x, number) for x in parts)]
    message[0] = ['str', what]
    try:
      candidate.send(self._write_fd, message)
    except OSError:
      raise _Failed(self._why()) from None
    return values.decode(self._answer('value'), self._remote)

  def _answer(self, wanted):
    size = int.from_bytes(self._read(4), sys.byteorder)
    try:
      kind, *content = json.loads(self._read(size))
    except (ValueError, TypeError, RecursionError):
      raise _Failed('it wrote to the pipe of its answers') from None
    if kind == 'error' and content[:1] == ['TypeError']:
      raise TypeError(*content[1:])  # `list` asks for a length in vain.
    if kind == 'error':
      raise _Failed(': '.join(str(x) for x in content if x)[:200])
    if kind != wanted or not content:
      raise _Failed('it wrote to the pipe of its answers')
    return content[0]

  def _read(self, size):
    self._left -= size
    if self._left < 0:
      raise _Failed('its answers are too long')
    data = b''
    while len(data) < size:
      rest = self._end - time.monotonic()
      if rest <= 0 or not select.select([self._read_fd], [], [], rest)[0]:
        raise _Failed('timed out')
      part = os.read(self._read_fd, min(_STEP, size - len(data)))
      if not part:
        raise _Failed(self._why())
      data += part
    return data

  def _why(self):
    """How the process ended."""
    status, self._pid = os.waitpid(self._pid, 0)[1], 0
    if os.WIFSIGNALED(status):
      return f'killed by {signal.Signals(os.WTERMSIG(status)).name}'
    return f'it left with status {os.WEXITSTATUS(status)}'

  def close(self):
    """Kills the process; it can have no others."""
    if self._pid:
      os.kill(self._pid, signal.SIGKILL)
      os.waitpid(self._pid, 0)
    os.close(self._write_fd)
    os.close(self._read_fd)


def _become(job, read_fd, write_fd, others):
  """Confines this process, a fork of the judge's, and runs the program."""
  try:
    for fd in others:
      os.close(fd)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
      os.dup2(null, fd)
    os.close(null)
    os.chdir(job['folder'])
    os.environ.clear()
    sys.argv, sys.path = ['program'], [x for x in sys.path if x != _HERE]
    for name in ('judge', 'candidate', 'confinement', 'values'):
      sys.modules.pop(name, None)
    limits = job['limits']
    means = confinement.confine(limits['cpu_s'], limits['memory_bytes'])
    candidate.serve(job['code'], means, read_fd, write_fd)
  finally:
    os._exit(1)


_HERE = sys.path[0]


def judge(job):
  """Returns (whether a program passes, why, what confines it)."""
  process, means = _Process(job), []
  try:
    space, means = process.begin()
    for test in (job['setup'], *job['tests']):
      try:
        exec(compile(test, 'test', 'exec'), space)
      except AssertionError:
        return False, f'assertion failed: {test.strip():.150}', means
    return True, 'passed', means
  except _Failed as failed:
    return False, str(failed), means
  except Exception as error:  # Of a test: it was given what it cannot take.
    return False, f'{type(error).__name__}: {error}'[:200], means
  finally:
    process.close()


def main():
  """Judges jobs until stdin ends."""
  confinement.die_with_parent()
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
  for name in sorted(_AT_HAND):
    importlib.import_module(name)
  for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))), flush=True)


if __name__ == '__main__':
  main()
