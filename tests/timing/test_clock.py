import pathlib
import re

import speccascade
from speccascade.timing import clock
from tests.timing import fake_clock


def test_a_call_lasts_until_its_result_is_ready(monkeypatch):
  fake = fake_clock.install(monkeypatch)

  def dispatch(a, b):
    fake.advance(2)
    return a + b

  def wait(result):
    fake.advance(3)
    return result * 10

  monkeypatch.setattr(clock.jax, 'block_until_ready', wait)
  fake.advance(7)
  assert clock.seconds(dispatch, 1, 2) == (30, 5)


def test_processes_of_a_job_have_the_time_of_the_first(monkeypatch):
  fake_clock.install(monkeypatch)
  monkeypatch.setattr(clock.hosts, 'number_of_first', lambda own: own + 9)
  assert clock.seconds(lambda: 1) == (1, 9)


def test_now_is_the_performance_counter(monkeypatch):
  monkeypatch.setattr(clock.time, 'perf_counter', lambda: 4.5)
  assert clock.now() == 4.5


def test_a_date_is_of_the_calendar(monkeypatch):
  monkeypatch.setattr(clock.time, 'time', lambda: 5.5)
  assert clock.date() == 5.5


def test_no_other_module_reads_a_clock():
  root = pathlib.Path(speccascade.__file__).parent
  readers = {
    str(file.relative_to(root))
    for file in root.rglob('*.py')
    if re.search(r'(import|from) (time|timeit)\b', file.read_text())
  }
  # The judge of programs runs outside the package.
  assert readers == {'timing/clock.py', 'execution/judge.py'}
