"""What a turn of full slots costs, by how many tokens are drafted in it.

Letters: A = G + 1 numbers of drafted tokens, 0 to G.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from speccascade import hosts
from speccascade.decoding import load, serving
from speccascade.decoding import queue as queue_lib
from speccascade.timing import clock

# Turns of a short call; tokens that a row may have more of a long one.
_FEW, _TOKENS = 2, 32
_DISTURBED = 1.25  # Times as long as the least: a call that tells nothing.


def costs_A(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  served: int | None = None,
  rounds: int = 8,
) -> np.ndarray:
  """Times turns by how many tokens are drafted, in the program that serves.

  No prompt is read meanwhile: what that costs is in none of them.
  A call takes the host a while, with small models on a GPU longer than a turn
  takes the device. So calls of few turns and of more are timed: what a turn
  costs is their difference, whose error has either sign. A longer draft costs
  no less: turns that were timed otherwise are given their mean.

  Args:
    made: Slots under the schedule `load`.
    params: of its models.
    queue: Queue, enough to fill the slots.
    served: turns of a call that serves, if the device waits for it.
    rounds: of all numbers of tokens, in each of which each has two calls.

  Returns:
    Milliseconds of a turn that drafts 0 to G tokens, by the least of the
    rounds, with its share of a call that the device waits for.

  Raises:
    ValueError: no answer takes two turns.
  """
  queue = jax.tree.map(jnp.asarray, queue)
  G = made.decoder.gamma + 1
  numbers = range(G + 1)
  forced = [load.forced(d, G) for d in numbers]
  timed_A = [{} for _ in forced]  # {turns of a call: least milliseconds}
  state, held, least = None, None, made.rows - made.rows // 8
  for r in range(rounds):
    for d in numbers[:: -1 if r % 2 else 1]:  # Answers grow with each.
      for turns in (_FEW, _FEW + max(1, _TOKENS // (d + 1))):
        # Of few answers a call may have none that is drafted for to the end.
        if state is None or 2 * _busy(state) < least:
          # By a drafter that has read the prompts, too.
          state = _filled(made, params, queue, forced[1], state, least)
          held, least = _held(queue, state), min(least, _busy(state))
        own = held.replace(schedule_parameter=forced[d])
        call = functools.partial(serving.step, made, params, own)
        turn = int(jax.device_get(hosts.replicated(state.turn)))
        (state, ended), seconds = clock.seconds(call, turns, state)
        # A busy machine only ever adds to it.
        n, ms = ended.turn - turn, 1e3 * seconds
        if n:
          timed_A[d][n] = min(timed_A[d].get(n, ms), ms)
  apart_A = [_apart(timed) for timed in timed_A]
  call = min((call for _, call in filter(None, apart_A)), default=0)
  turn_A = [
    _turn(timed, apart, max(call, 0))
    for timed, apart in zip(timed_A, apart_A, strict=True)
  ]
  turn_A = optimize.isotonic_regression(turn_A).x
  return turn_A + (0 if served is None else max(call, 0) / served)


def _turn(timed, apart, call):
  """Milliseconds of a turn; never nothing, whatever the clock says."""
  n = max(timed)
  turn = (timed[n] - call) / n if apart is None else apart[0]
  return max(turn, timed[n] / n / 100)


def _apart(timed):
  """Milliseconds of a turn, and of a call but for its turns.

  Args:
    timed: {turns of a call: milliseconds}.

  Returns:
    Both; None unless calls of two lengths tell them apart.
  """
  # Answers that end cut calls short, which are timed once or twice.
  sound = _DISTURBED * min(ms / n for n, ms in timed.items())
  few = min(timed, key=timed.get)
  many = max(n for n, ms in timed.items() if ms / n <= sound)
  if few >= many:
    return None
  turn = (timed[many] - timed[few]) / (many - few)
  return turn, timed[few] - few * turn


def _busy(state):
  """How many slots have an answer."""
  id_B = np.asarray(hosts.replicated(state.id_B))
  return int((id_B != queue_lib.FREE).sum())


def _filled(made, params, queue, cost_A, state, least):
  """A state of at least so many slots that have answers, or as many as come."""
  queue = queue.replace(schedule_parameter=cost_A)
  step = functools.partial(serving.step, made, params, queue, 1)
  most = 0
  for start in (state, None):  # What is left of the queue may be too little.
    if start is not None and serving.idle(start, queue):
      continue
    state, _ = step(start)
    while _busy(state) < least and not serving.idle(state, queue):
      most = max(most, _busy(state))
      state, _ = step(state)
    if _busy(state) >= least:
      return state
  if not most:
    raise ValueError('no answer is long enough for turns to be timed')
  return _filled(made, params, queue, cost_A, None, most)


def _held(queue, state):
  """The queue of the answers in slots, and of the prompts that are stored."""
  given_G, have = jax.device_get(hosts.replicated((state.next_G, state.have)))
  answers = tuple(
    own.replace(number=jnp.asarray(number))
    for own, number in zip(queue.answers, given_G, strict=True)
  )
  return queue.replace(number=jnp.asarray(have), answers=answers)
