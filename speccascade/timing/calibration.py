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
  forced = [
    queue.replace(schedule_parameter=load.forced(d, G)) for d in numbers
  ]
  timed_A, empty_R = [[] for _ in numbers], []
  state = None
  for _ in range(rounds):
    for d in numbers:
      if state is None or serving.idle(state, queue):
        state = _filled(made, params, forced[0])
      call = functools.partial(serving.step, made, params, forced[d])
      (state, before), empty = clock.seconds(call, 0, state)
      (state, ended), seconds = clock.seconds(call, turns, state)
      empty_R.append(1e3 * empty)
      timed_A[d].append((1e3 * seconds, ended.turn - before.turn))
  empty = min(empty_R)
  # What a turn reads of prompts, and a busy machine, only ever add to it.
  least_A = [min((ms - empty) / n for ms, n in timed) for timed in timed_A]
  return np.maximum(least_A, 0) + empty / served


def _filled(made, params, queue):
  """A state whose slots have answers: all of them, or as many as there come."""
  step = functools.partial(serving.step, made, params, queue, 1)
  for enough in (np.all, np.any):  # Short answers may never fill all slots.
    state, _ = step()
    while not serving.idle(state, queue):
      if enough(np.asarray(hosts.replicated(state.id_B)) != queue_lib.FREE):
        return state
      state, _ = step(state)
  raise ValueError('no answer is long enough for turns to be timed')
