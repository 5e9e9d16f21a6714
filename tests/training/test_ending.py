"""When processes of a job ask each other whether one is to end."""

from speccascade import hosts
from speccascade.timing import clock
from speccascade.training import ending


def _asked(monkeypatch, seconds, calls, waits=()):
  """Calls at which processes ask, and what they hear, where one is terminated.

  Args:
    monkeypatch: fixture.
    seconds: between calls.
    calls: how many.
    waits: calls at which they wait for each other anyway.
  """
  now, asked = [0.0], []

  def which(flag):
    assert not flag
    asked.append(n)
    return [1]

  monkeypatch.setattr(clock, 'now', lambda: now[0])
  monkeypatch.setattr(hosts, 'is_several', lambda: True)
  monkeypatch.setattr(hosts, 'number_of_first', lambda x: x)
  monkeypatch.setattr(hosts, 'which', which)
  ask = ending.agreed(lambda: False)
  for n in range(calls):
    now[0] += seconds
    assert ask(n in waits) == (asked[-1:] == [n])
  return asked


def test_they_ask_about_every_five_seconds(monkeypatch):
  assert _asked(monkeypatch, 100.0, 4) == [0, 1, 2, 3]
  found = _asked(monkeypatch, 0.01, 10_000)
  gaps = [b - a for a, b in zip(found, found[1:], strict=False)]
  assert gaps[:4] == [2, 4, 8, 16]
  assert 250 <= gaps[-1] <= 1024
  assert len(found) < 40


def test_and_where_they_wait_anyway(monkeypatch):
  assert {3, 50, 51} < set(_asked(monkeypatch, 0.01, 100, (3, 50, 51)))


def test_one_process_knows_at_once():
  told = []
  ask = ending.agreed(lambda: bool(told))
  assert not ask()
  told.append(True)
  assert ask()
  assert ask(True)
