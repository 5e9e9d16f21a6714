"""First runs, side by side."""

import threading
import time

import jax
import pytest

from speccascade.runs import workers
from speccascade.timing import warm


@pytest.mark.skipif(workers.cores() < 2, reason='one core')
def test_each_runs_once_beside_the_others():
  both = threading.Barrier(2, timeout=60)
  seen = []

  def run(name):
    seen.append(name)
    both.wait()  # Alone, it would wait for ever.

  warm.up(lambda name=name: run(name) for name in 'abcd')
  assert sorted(seen) == list('abcd')


@pytest.mark.parametrize(
  ('processes', 'backend'), [(2, 'cpu'), (1, 'gpu'), (1, 'tpu')]
)
def test_processes_of_a_job_and_chips_run_all_in_one_order(
  monkeypatch, processes, backend
):
  """Chips hold the caches of one."""
  monkeypatch.setattr(jax, 'process_count', lambda: processes)
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  begun, ended = [], []

  def run(n):
    assert begun == ended
    begun.append(n)
    time.sleep(0.01)  # Others would begin.
    ended.append(n)

  warm.up(lambda n=n: run(n) for n in range(4))
  assert ended == [0, 1, 2, 3]


def test_what_the_first_raised_is_told_and_no_other_is_waited_for(monkeypatch):
  monkeypatch.setattr(workers, 'cores', lambda: 2)
  begun, ends = [], threading.Event()

  def run(n):
    begun.append(n)
    if n in (1, 2):
      raise ValueError(f'{n} failed')
    if n > 2:
      assert ends.wait(60)  # One at a time, but for the first.

  with pytest.raises(ValueError, match='^1 failed'):
    warm.up(lambda n=n: run(n) for n in range(9))
  ends.set()
  assert set(begun) < set(range(9))
