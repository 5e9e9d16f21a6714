"""What a turn of full slots costs, by how many tokens are drafted in it.

Letters: A = G + 1 numbers of drafted tokens, 0 to G.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import hosts
from speccascade.decoding import load, serving
from speccascade.decoding import queue as queue_lib
from speccascade.timing import clock


def costs_A(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  turns: int,
  served: int,
  rounds: int = 5,
) -> np.ndarray:
  """Times turns by how many tokens are drafted, in the program that serves.

  No prompt is read meanwhile: that costs as much whatever is drafted.
  A call takes the host as long whatever is drafted, with small models on a GPU
  longer than a turn does. So one without turns is timed, too.

  Args:
    made: Slots under the schedule `load`.
    params: of its models.
    queue: Queue, enough to fill the slots.
    turns: most of a call that is timed.
    served: those of a call that serves.
    rounds: of all numbers of tokens, in each of which each has so many turns.

  Returns:
    Milliseconds of a turn that drafts 0 to G tokens, the least of the rounds,
    with its share of a call that serves.

  Raises:
    ValueError: no answer takes two turns.
  """
  queue = jax.tree.map(jnp.asarray, queue)
  G = made.decoder.gamma + 1
  numbers = range(G + 1)
  forced = [load.forced(d, G) for d in numbers]
  timed_A, empty_R = [[] for _ in forced], []
  state, held, least = None, None, made.rows - made.rows // 8
  for r in range(rounds):
    for d in numbers[:: -1 if r % 2 else 1]:  # Answers grow with each.
      # Of few answers a call may have none that is drafted for to the end.
      if state is None or 2 * _busy(state) < least:
        # By a drafter that has read the prompts, too.
        state = _filled(made, params, queue, forced[1], state, least)
        held, least = _held(queue, state), min(least, _busy(state))
      own = held.replace(schedule_parameter=forced[d])
      call = functools.partial(serving.step, made, params, own)
      (state, before), empty = clock.seconds(call, 0, state)
      (state, ended), seconds = clock.seconds(call, turns, state)
      empty_R.append(1e3 * empty)
      timed_A[d].append((1e3 * seconds, ended.turn - before.turn))
  empty = min(empty_R)
  # A busy machine only ever adds to it.
  least_A = [min((ms - empty) / n for ms, n in timed) for timed in timed_A]
  return np.maximum(least_A, 0) + empty / served


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
