import contextlib
import math
import os
import signal
import subprocess
import sys
from concurrent import futures

import pytest

from speccascade.runs import workers


def test_results_come_in_the_order_of_the_items():
  assert [*workers.each(math.sqrt, [9.0, 4.0, 1.0], 2)] == [3, 2, 1]


def test_what_one_raises_is_raised_here():
  with pytest.raises(ValueError, match='math domain error'):
    [*workers.each(math.sqrt, [1.0, -1.0], 1)]


@pytest.mark.skipif(
  not hasattr(os, 'sched_setaffinity'), reason='needs sets of cores'
)
def test_cores_are_those_of_this_process():
  code = (
    'import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);'
    'from speccascade.runs import workers; print(workers.cores())'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert done.stdout == b'1\n'
  assert workers.cores() == len(os.sched_getaffinity(0))


def test_one_that_ends_is_told():
  with pytest.raises(futures.BrokenExecutor):
    [*workers.each(os._exit, [3], 1)]


def test_they_end_with_a_process_that_is_killed():
  code = (
    'import time; from speccascade.runs import workers\n'
    'for _ in workers.each(time.sleep, [0, 600], 1): print("begun", flush=True)'
  )
  killed = subprocess.Popen(
    [sys.executable, '-c', code], stdout=subprocess.PIPE, start_new_session=True
  )
  try:
    assert killed.stdout.readline() == b'begun\n'
    killed.kill()
    killed.communicate(timeout=60)  # It ends with the last worker's output.
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(killed.pid, signal.SIGKILL)


def test_they_leave_ctrl_c_to_the_process_that_started_them():
  before = signal.getsignal(signal.SIGINT)
  code = 'import signal as s; print(s.getsignal(s.SIGINT) is s.SIG_IGN)'

  def ignores():
    with workers._uninterrupted():
      return subprocess.check_output([sys.executable, '-c', code], text=True)

  assert ignores() == 'True\n'
  assert signal.getsignal(signal.SIGINT) is before
  with futures.ThreadPoolExecutor() as pool:  # Where signals do not arrive.
    pool.submit(ignores).result()
