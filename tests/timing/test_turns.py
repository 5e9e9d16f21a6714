"""The time of a turn is above zero, whatever the clock says."""

import numpy as np
import pytest

from speccascade.timing import clock, turns
from tests.timing import fake_clock


def _loop(fake, before, a_turn, calls=None, name=None, busy=lambda: 1):
  """Takes `before` seconds and `a_turn` for each turn; starting takes 9."""

  def run(start, number):
    assert start == 'start'
    if calls is not None:
      calls.append((name, number))
    fake.advance((before + number * a_turn) * busy())

  def start():
    fake.advance(9)
    return 'start'

  return turns.Loop(start, run)


def test_a_turn_is_a_share_of_what_a_run_takes_beyond_its_start(monkeypatch):
  fake, calls = fake_clock.install(monkeypatch), []
  loops = {
    'long': _loop(fake, 0.01, 0.2, calls, 'long'),
    'short': _loop(fake, 0.01, 0.002, calls, 'short'),
  }
  found = turns.measure(loops, rounds=3)
  assert list(found) == ['long', 'short']
  assert found['long'].ms == pytest.approx(200)
  assert found['short'].ms == pytest.approx(2)
  # The fewest that take ten times as long as none: 0.01 + 64 · 0.002 > 0.1.
  assert (found['long'].turns, found['short'].turns) == (1, 64)
  assert found['short'].spread == pytest.approx(1)
  a_round = [('long', 0), ('long', 1), ('short', 0), ('short', 64)]
  assert calls[:2] == [('long', 0), ('short', 0)]  # Compiles.
  assert calls[-12:] == a_round * 3


def test_the_least_of_the_rounds_counts(monkeypatch):
  fake = fake_clock.install(monkeypatch)
  factors = iter([1, 1, 1] + [7, 3, 1, 4, 5, 2])
  loop = _loop(fake, 0.01, 0.2, busy=lambda: next(factors))
  (turn,) = turns.measure({0: loop}, rounds=3).values()
  # Without turns 7, 1 and 5 times as long, with one 3, 4 and 2 times.
  assert turn.ms == pytest.approx((2 * 0.21 - 0.01) * 1e3)
  assert turn.spread == pytest.approx(2)


def test_runs_that_prove_too_short_are_doubled(monkeypatch):
  """A slow single run took one turn for enough."""
  fake, calls = fake_clock.install(monkeypatch), []
  factors = iter([1, 1, 100] + [1] * 99)
  busy = lambda: next(factors)  # noqa: E731
  loop = _loop(fake, 1e-3, 2e-3, calls, busy=busy)
  (turn,) = turns.measure({0: loop}, rounds=2).values()
  assert turn.ms == pytest.approx(2)
  assert [number for _, number in calls[4::2]] == [1, 1, 2, 2, 4, 4, 8, 8]


@pytest.mark.parametrize(
  ('before', 'a_turn', 'number', 'ms'),
  [
    (0.01, 30.0, 1, 30e3),  # No more than needed.
    (5.0, 0.3, 4, 300),  # Until the turns take a second.
    (1e-3, 1e-7, turns.MOST, 1.1024e-3 / 10 / turns.MOST * 1e3),
    (0.0, 0.0, turns.MOST, clock.RESOLUTION / 10 / turns.MOST * 1e3),
    (0.0, 1.0, 1, 1e3),
  ],
)
def test_it_ends(monkeypatch, before, a_turn, number, ms):
  loop = _loop(fake_clock.install(monkeypatch), before, a_turn)
  (turn,) = turns.measure({0: loop}, rounds=2).values()
  assert turn.turns == number
  assert turn.ms == pytest.approx(ms)


def test_no_fewer_turns_than_asked_for(monkeypatch):
  loop = _loop(fake_clock.install(monkeypatch), 0, 1)
  assert turns.measure({0: loop}, rounds=1, least=16)[0].turns == 16


@pytest.mark.parametrize('seed', range(30))
def test_a_busy_machine_gives_positive_times(monkeypatch, seed):
  fake, busy = fake_clock.install(monkeypatch), fake_clock.busy(seed)
  truth = {'a': 1e-5, 'b': 3e-3, 'c': 0.2}
  loops = {k: _loop(fake, 1e-3, x, busy=busy) for k, x in truth.items()}
  for name, turn in turns.measure(loops, rounds=9).items():
    assert turn.ms / 1e3 == pytest.approx(truth[name], rel=0.6)
    assert np.isfinite(turn.spread)
    assert turn.spread >= 1


@pytest.mark.parametrize('seed', range(30))
def test_a_clock_that_jumps_back_gives_positive_times(monkeypatch, seed):
  fake, busy = fake_clock.FakeClock(), fake_clock.busy(seed)
  monkeypatch.setattr(clock, 'now', lambda: fake() * busy())
  loops = {k: _loop(fake, 1e-3, x) for k, x in enumerate((1e-6, 3e-3, 0.2))}
  for turn in turns.measure(loops, rounds=2).values():
    assert 1e-12 < turn.ms < 1e12
    assert 1 <= turn.spread < 1e30
