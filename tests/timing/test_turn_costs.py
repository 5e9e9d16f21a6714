"""Costs of turns, by a clock that tells what was drafted."""

import dataclasses

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import load, queue, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.timing import calibration, clock
from tests.decoding import test_slots, tiny

G, SLOTS = 4, 4

_TOLD = [1.0, 1.1, 1.2, 1.3, 1.4]
_DIP = [1.0, 1.3, 1.1, 1.4, 1.2]  # As clocks tell it that are not exact.


@pytest.mark.parametrize(
  ('tokens', 'served', 'told_A', 'cost_A'),
  [
    (1, None, _TOLD, _TOLD),
    (60, 30, _TOLD, _TOLD),  # Of 60 no answer has as many.
    (60, 30, _DIP, [1.0, 1.2, 1.2, 1.3, 1.3]),
  ],
)
@pytest.mark.usefixtures('float64', 'short_chunks')
def test_each_number_of_drafted_tokens_is_timed(
  monkeypatch, tokens, served, told_A, cost_A
):
  """A turn takes what is told of its longest draft; no longer one is cheaper.

  In some rounds it takes more, as on a busy machine. A call takes 0.3 s more.
  """
  pair = test_slots.GEMMA
  items = [(p, (), 0.0) for p in range(test_slots.P) for _ in range(3)]
  asked = test_slots._queue(pair, (test_slots._answers(items, 0),))
  group = loop_lib.Group(methods.STRICT, SLOTS)
  loop = dataclasses.replace(
    test_slots._loop(pair, (group,)), gamma=G - 1, schedule=schedules.LOAD
  )
  made = queue.Slots(loop, SLOTS, tiny.S, 2, 6, 6)
  told, ended, called = [], [], []
  monkeypatch.setattr(calibration, '_TOKENS', tokens)

  def seconds(call, number, state):
    _, _, asked = call.args
    old, turn = jax.device_get((state.rows.tally.drafted_B, state.turn))
    page = int(state.have), int(state.chunk), state.next_G.tolist()
    called.append(number)
    if len(called) % 2:  # Half the slots have answers, or nearly.
      assert 2 * (np.asarray(state.id_B) != queue.FREE).sum() >= SLOTS - 1
    state, out = call(number, state)
    # The longest draft of a row that was there before and after.
    new = jax.device_get(state.rows.tally.drafted_B)
    forced_A = np.asarray(asked.schedule_parameter)
    assert page == (int(state.have), int(state.chunk), state.next_G.tolist())
    most = max(new - old) / max(out.turn - int(turn), 1)
    told.append((forced_A.argmin() and (forced_A == 1).sum(), most))
    ended.append(len(out.ids))
    drafted = next(
      d for d in range(G + 1) if (load.forced(d, G) == forced_A).all()
    )
    busy = (3, 1, 2)[(len(told) - 1) // (2 * (G + 1)) % 3]
    ran = busy * told_A[drafted] * (out.turn - int(turn))
    return (state, out), ran + 0.3

  monkeypatch.setattr(clock, 'seconds', seconds)
  found_A = calibration.costs_A(made, pair.params, asked, served, rounds=9)
  call = 0 if served is None else 10
  np.testing.assert_allclose(found_A, 1000 * np.array(cost_A) + call)
  assert sum(ended) > SLOTS  # They are filled again.
  assert called[:2] == [2, 2 + tokens]
  if tokens > 1:  # Of which a row drafts in each.
    return
  for forced, most in told:
    assert most <= forced
  assert {most for forced, most in told if forced == G} >= {G}
  assert {most for forced, most in told if not forced} <= {0}


@pytest.mark.parametrize(
  ('timed', 'turn', 'call'),
  [
    ({2: 2.3, 34: 34.3}, 1, 0.3),
    # Answers ended amid calls: one on a busy machine, one by chance a fast one.
    ({2: 2.3, 34: 34.3, 40: 80.0, 1: 3.0}, 1, 0.3),
    ({2: 2.3, 3: 3.3, 5: 5.0, 34: 34.3}, 1, 0.3),
    ({2: 14.0, 5: 20.0}, 2, 10),  # As of a small model on a GPU.
  ],
)
def test_a_turn_is_told_apart_from_its_call(timed, turn, call):
  np.testing.assert_allclose(calibration._apart(timed), (turn, call))
  assert calibration._turn(timed, (turn, call), call) == turn


def test_a_turn_that_one_call_has_timed_is_without_that_of_the_others():
  assert calibration._apart({2: 14.0}) is None
  assert calibration._turn({2: 14.0}, None, 10.0) == 2.0
  # Never nothing.
  assert calibration._turn({2: 14.0}, None, 20.0) > 0
  assert calibration._turn({2: 14.0, 4: 12.0}, (-1.0, 16.0), 0) > 0
