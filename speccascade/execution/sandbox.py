"""Runs code that a model wrote against tests, several programs at a time.

See `docs/execution.md` for what contains it, and what it cannot contain.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

from speccascade.execution import confinement
from speccascade.runs import workers

_JUDGE = pathlib.Path(__file__).with_name('judge.py')
_GRACE = 5.0  # Seconds that the judge itself may take beside a program.


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a program may use.

  The times are several times what the slowest right program of MBPP takes on a
  slow machine that does other work: a verdict must not depend on that.

  Attributes:
    wall_s: seconds from its start to the end of its tests.
    cpu_s: seconds of CPU time, whole.
    memory_bytes: of address space.
    output_bytes: of the values that its functions return.
    workers: programs that run at a time; 0 is one a core.
  """

  wall_s: float = 60.0
  cpu_s: int = 30
  memory_bytes: int = 1 << 29
  output_bytes: int = 1 << 23
  workers: int = 0


class Outcome(NamedTuple):
  """How a program fared.

  Attributes:
    passed: whether all tests passed.
    reason: 'passed', or what failed, in a line.
  """

  passed: bool
  reason: str


def program(code: str, tests: Sequence[str], setup: str = '') -> str:
  """Returns a program with its tests, as `run_all` takes it.

  Args:
    code: text, which is not trusted.
    tests: statements of Python that assert, which are trusted: they run apart
      from the code, and call its functions over a pipe.
    setup: statements before them, likewise.
  """
  return json.dumps({'code': code, 'tests': list(tests), 'setup': setup})


def run_all(
  programs: Sequence[str], limits: Limits = Limits()
) -> list[Outcome]:
  """Returns how each program fares, in their order.

  Args:
    programs: of `program`.
    limits: of each.

  Raises:
    ValueError: this system cannot confine a program.
  """
  if not programs:
    return []
  check()
  number = min(limits.workers or workers.cores(), len(programs))
  with tempfile.TemporaryDirectory(prefix='speccascade-') as folder:
    os.chmod(folder, 0o555)
    shared = {'limits': dataclasses.asdict(limits), 'folder': folder}
    own = threading.local()
    with contextlib.ExitStack() as judges:

      def run(text):
        if getattr(own, 'judge', None) is None:
          own.judge = _start()
          judges.callback(_stop, own.judge)
        outcome = _ask(own.judge, {**json.loads(text), **shared}, limits.wall_s)
        if outcome is None:
          own.judge = None  # It was killed.
          return Outcome(False, 'the judge did not answer')
        return Outcome(*outcome[:2])

      with futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, programs))


def means() -> list[str]:
  """Returns what confines a program on this system, in words.

  Raises:
    ValueError: as `run_all`.
  """
  check()
  return list(_confined())


def check() -> None:
  """Raises ValueError where a program cannot be confined."""
  if lacks := confinement.supported():
    raise ValueError(
      f'code that a model wrote is run on {lacks}; score it elsewhere'
    )
  _confined()


@functools.cache
def _confined():
  """What confines a program that is right; raises ValueError if it fails.

  Else no program could pass, which would look like a poor model.
  """
  judge = _start()
  try:
    own = program('def f(): return 1', ['assert f() == 1'])
    job = {**json.loads(own), 'folder': '/'}
    job['limits'] = dataclasses.asdict(Limits())
    passed, reason, found = _ask(judge, job, Limits().wall_s) or (
      False,
      'the judge did not answer',
      [],
    )
  finally:
    _stop(judge)
  if not passed:
    raise ValueError(
      f'a program cannot be confined here ({reason}); score what a model wrote '
      'elsewhere'
    )
  return tuple(found)


def _start():
  # Isolated and without site: a lean start, and no code of the user's.
  return subprocess.Popen(
    [sys.executable, '-I', '-S', '-B', str(_JUDGE)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env={},
    start_new_session=True,
  )


def _stop(judge):
  judge.kill()
  judge.wait()
  judge.stdin.close()
  judge.stdout.close()


def _ask(judge, job, wall_s):
  """What the judge says of a job; None if it does not, and is killed.

  A judge that is killed takes its program with it.
  """
  try:
    judge.stdin.write(json.dumps(job).encode() + b'\n')
    judge.stdin.flush()
    if select.select([judge.stdout], [], [], wall_s + _GRACE)[0]:
      return json.loads(judge.stdout.readline())
  except (OSError, ValueError):
    pass
  judge.kill()
  return None
