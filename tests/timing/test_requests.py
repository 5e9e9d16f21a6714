"""Requests in time, by a simulated clock and hand-made turns."""

import threading

import numpy as np
import pytest

from speccascade.decoding import queue as queue_lib
from speccascade.decoding import results, serving
from speccascade.timing import clock, requests

ARRIVED_Q = np.array([0.0, 0.0, 0.05, 5.0])
PROMPT_Q = np.array([3, 1, 2, 4])
LENGTH_Q = np.array([1, 4, 3, 2])


@pytest.fixture
def turns(monkeypatch):
  """Two slots; each answer has a token a turn, from the turn that begins it.

  Gives how many requests each call was told of, and how many turns it had.
  """
  told = []

  def advance(made, params, queue, turns, state=None):
    del made, params
    there = int(queue.number)
    assert int(queue.answers[0].number) == there
    told.append((there, turns))
    waiting, running, turn, busy = state[:4] if state else ([], {}, 0, 0)
    known = state[4] if state else 0
    waiting += list(range(known, there))
    ended = []
    for _ in range(turns):
      while waiting and len(running) < 2:
        running[waiting.pop(0)] = turn
      if not running:
        break
      busy, turn = busy + len(running), turn + 1
      for id_, begun in list(running.items()):
        if turn - begun == LENGTH_Q[id_]:
          ended.append((id_, begun, turn))
          del running[id_]
    ids, begun, last = np.array(ended, int).reshape(-1, 3).T
    result = results.Result(None, LENGTH_Q[ids])
    idle = not waiting and not running
    found = serving.Ended(ids, result, begun, last, turn, busy, idle)
    return (waiting, running, turn, busy, there), found

  monkeypatch.setattr(serving, 'advance', advance)
  monkeypatch.setattr(serving, 'read', lambda queue, told: told)
  monkeypatch.setattr(serving, 'check', lambda made, queue: None)
  return told


def _queue():
  number = np.int32(4)
  answers = queue_lib.Answers(*[None] * 5, values=(), number=number)
  return queue_lib.Queue(None, PROMPT_Q, None, number, (answers,), None)


def test_waits_by_hand(turns):
  """Turns of 0.1 s: 0 ends after one, 2 takes its slot, 3 comes late."""
  found = requests.serve(None, None, _queue(), ARRIVED_Q, 1, turn_seconds=0.1)
  np.testing.assert_allclose(found.first_Q, [0.1, 0.1, 0.2, 5.1])
  np.testing.assert_allclose(found.ended_Q, [0.1, 0.4, 0.4, 5.2])
  np.testing.assert_array_equal(found.tokens_Q, LENGTH_Q)
  assert (found.turns, found.busy) == (6, 10)
  # The first calls compile; when all has arrived a call is long.
  # Another one follows it before it is read.
  assert turns == [*[(0, 1)] * 2, (2, 1), *[(3, 1)] * 3, *[(4, 32)] * 2]
  told = requests.summary(found, slots=2, room=10)
  assert told['output_throughput'] == pytest.approx(10 / 5.2)
  assert told['request_throughput'] == pytest.approx(4 / 5.2)
  assert told['occupancy'] == pytest.approx(10 / 12)
  held = 1 * (3 + 1 / 2) + 4 * (1 + 4 / 2) + 3 * (2 + 3 / 2) + 2 * (4 + 2 / 2)
  assert told['kv_cache_usage'] == pytest.approx(held / 6 / 2 / 10)
  assert told['median_ttft_ms'] == pytest.approx(100)
  assert told['median_tpot_ms'] == pytest.approx(100)
  assert told['median_e2el_ms'] == pytest.approx(275)


def test_no_call_is_shorter_than_asked_for(turns):
  requests.serve(None, None, _queue(), np.zeros(4), 40, turn_seconds=0.1)
  assert turns[-1] == (4, 40)


def test_turns_between_looks_share_their_time(turns):
  del turns
  found = requests.serve(None, None, _queue(), ARRIVED_Q, 4, turn_seconds=0.1)
  # Request 2 is seen after four turns.
  np.testing.assert_allclose(found.first_Q[:3], [0.1, 0.1, 0.5])


def test_the_real_clock_waits_for_arrivals(turns, monkeypatch):
  del turns
  now = [7.0]
  monkeypatch.setattr(clock, 'now', lambda: now[0])

  def sleep(seconds):
    now[0] += seconds

  monkeypatch.setattr(clock, 'sleep', sleep)
  found = requests.serve(None, None, _queue(), ARRIVED_Q, 2)
  # No call takes time here.
  assert found.ended_Q.max() == pytest.approx(5.0)
  assert now[0] == pytest.approx(12.0)


def test_a_call_ends_when_it_does_whatever_the_next_one_waits_for(
  turns, monkeypatch
):
  """On a mesh of CPUs a call begins once the one before has ended.

  Half a second a call, by a clock that its computing moves.
  """
  del turns
  now, done, advance = [0.0], [], serving.advance
  monkeypatch.setattr(clock, 'now', lambda: now[0])

  def compute(*args):
    state, told = advance(*args)
    if done:  # Until that one is read, as its thread does at once.
      assert done[-1].wait(10)
    now[0] += 0.5 if told.turn else 0
    done.append(threading.Event())
    return state, (told, done[-1])

  def read(_, told):
    found, event = told
    return found, event

  monkeypatch.setattr(serving, 'advance', compute)
  monkeypatch.setattr(serving, 'step', advance)
  monkeypatch.setattr(serving, 'read', read)
  reads = requests._read

  def then_go_on(queue, told):
    (found, event), ready = reads(queue, told)
    event.set()
    return found, ready

  monkeypatch.setattr(requests, '_read', then_go_on)
  monkeypatch.setattr(requests, '_LONG', 2)
  found = requests.serve(None, None, _queue(), np.zeros(4), 2)
  np.testing.assert_allclose(found.ended_Q, [0.25, 1.0, 1.0, 1.5])


@pytest.mark.parametrize(
  ('rate', 'several', 'want'), [(0, False, None), (0, True, 32), (2, True, 4)]
)
def test_devices_wait_for_calls_of_several_processes(
  rate, several, want, monkeypatch
):
  monkeypatch.setattr(requests.hosts, 'is_several', lambda: several)
  assert requests.waited(4, rate) == want


def test_arrivals_of_a_rate():
  found = requests.poisson(4.0, 4000, seed=1)
  assert (np.diff(found) >= 0).all()
  # The mean gap is 1/4 s with a standard error of a 63rd of it.
  assert found[-1] / 4000 == pytest.approx(0.25, rel=0.08)
  np.testing.assert_array_equal(found, requests.poisson(4.0, 4000, seed=1))
  np.testing.assert_array_equal(requests.poisson(0, 3, seed=1), np.zeros(3))
