"""A clock that stands still until a test moves it, and a busy machine."""

from collections.abc import Callable

import numpy as np

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


def busy(seed: int) -> Callable[[], float]:
  """Returns what a machine makes of a second, another number at each call.

  It is half a second to one and a half, and once in five a hundred times that.
  """
  rng = np.random.default_rng(seed)
  return lambda: rng.uniform(0.5, 1.5) * rng.choice([1, 100], p=[0.8, 0.2])
