"""A clock that stands still until a test moves it."""

from speccascade.timing import clock


class FakeClock:
  """Replaces `clock.now`; reads `time`."""

  def __init__(self):
    self.time = 0.0

  def __call__(self):
    return self.time

  def advance(self, seconds):
    self.time += seconds


def install(monkeypatch):
  """Replaces `clock.now` for a test; returns the FakeClock."""
  fake = FakeClock()
  monkeypatch.setattr(clock, 'now', fake)
  return fake
