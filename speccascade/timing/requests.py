"""Requests that arrive in time, decoded in slots: what each waits for.

Letters: Q requests.
"""

import dataclasses
import functools
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import hosts
from speccascade.decoding import queue as queue_lib
from speccascade.decoding import serving
from speccascade.timing import clock

_LONG = 32  # Turns of a call that need not look for arrivals.


@dataclasses.dataclass(frozen=True)
class Served:
  """What became of requests; seconds since the first could arrive.

  Attributes:
    arrived_Q: when each came.
    first_Q: when its first token was there.
    ended_Q: when its last was.
    prompt_Q: tokens of its prompt.
    tokens_Q: of its answer.
    turns_Q: turns in which it had a slot.
    turns: of the loop.
    busy: slots that had an answer, summed over the turns.
  """

  arrived_Q: np.ndarray
  first_Q: np.ndarray
  ended_Q: np.ndarray
  prompt_Q: np.ndarray
  tokens_Q: np.ndarray
  turns_Q: np.ndarray
  turns: int
  busy: int


def poisson(rate: float, number: int, seed: int) -> np.ndarray:
  """Returns when requests of a Poisson process arrive, in seconds, rising.

  Args:
    rate: requests a second; 0 is all at once.
    number: Q.
    seed: of the process.
  """
  if not rate:
    return np.zeros(number)
  gaps = np.random.default_rng(seed).exponential(1 / rate, number)
  return np.cumsum(gaps)


def longest(turns: int) -> int:
  """Returns the turns of a call when all requests have arrived."""
  return max(turns, _LONG)


def waited(turns: int, rate: float) -> int | None:
  """Returns the turns of a call that devices wait for; None where they do not.

  When all requests have arrived a call begins before what the last one told is
  read. Of several processes none does: they tell each other when that was.

  Args:
    turns: as of `serve`.
    rate: as of `poisson`.
  """
  if rate:
    return turns
  return longest(turns) if hosts.is_several() else None


def serve(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  arrived_Q: np.ndarray,
  turns: int,
  turn_seconds: float | None = None,
) -> Served:
  """Decodes requests, each not before it has arrived.

  Args:
    made: Slots of one group.
    params: of its models.
    queue: Queue of one group, whose answer i continues prompt i and has id i.
    arrived_Q: when each arrives, rising.
    turns: of the loop between two looks at what has arrived; `longest` of them
      when all has, see `waited`.
    turn_seconds: what a turn takes by a simulated clock; None is the real one.

  Returns:
    Served. Compiling comes before the first arrival.

  Raises:
    ValueError: an argument is out of range, nothing was compiled; or a model
      gave a logit that is not finite.
  """
  serving.check(made, queue)
  queue = jax.tree.map(jnp.asarray, queue)
  state = None
  for _ in range(2):  # Compiles; on a mesh what a turn leaves lies otherwise.
    state, _ = serving.step(made, params, _there(queue, 0), turns, state)
  with futures.ThreadPoolExecutor(1) as reader:
    begin = functools.partial(_begin, reader, made, params)
    return _serve(begin, queue, arrived_Q, turns, turn_seconds)


def _begin(reader, made, params, queue, turns, state):
  """(state, future of what `_read` returns) of a call.

  A call may begin only once the one before has ended, on a mesh of CPUs or with
  loops that the host runs: what waits for the end of that one is a thread.
  """
  state, told = serving.advance(made, params, queue, turns, state)
  return state, reader.submit(_read, queue, told)


def _read(queue, told):
  """(Ended, when it was there)."""
  return serving.read(queue, told), clock.now()


def _serve(begin, queue, arrived_Q, turns, turn_seconds):
  Q = len(arrived_Q)
  tokens_Q, begun_Q, last_Q = np.zeros((3, Q), int)
  state, now, ends = None, 0.0, []  # Seconds at which each turn ended.
  there, done, start, told = 0, 0, clock.now(), None
  while done < Q:
    there = max(there, int(np.searchsorted(arrived_Q, now, 'right')))
    if there == done:  # Nothing to do before the next arrival.
      if turn_seconds is None:
        clock.sleep(max(0.0, arrived_Q[there] - now))
      now = float(arrived_Q[there])
      there = int(np.searchsorted(arrived_Q, now, 'right'))
    call = longest(turns) if there == Q else turns
    if told is None:
      state, told = begin(_there(queue, there), call, state)
    following = None
    if there == Q and waited(turns, rate=0) is None:
      state, following = begin(_there(queue, there), call, state)
    (ended, ready), told = told.result(), following
    number = ended.turn - len(ends)
    if turn_seconds is None:
      after = hosts.number_of_first(ready - start)
    else:
      after = now + number * turn_seconds
    ends += (now + (after - now) * np.arange(1, number + 1) / number).tolist()
    now, done = after, done + len(ended.ids)
    tokens_Q[ended.ids] = ended.result.length_B
    begun_Q[ended.ids], last_Q[ended.ids] = ended.begun, ended.ended - 1
  ends = np.array(ends)
  return Served(
    arrived_Q=arrived_Q,
    first_Q=ends[begun_Q],
    ended_Q=ends[last_Q],
    prompt_Q=np.asarray(queue.length_P)[:Q],
    tokens_Q=tokens_Q,
    turns_Q=last_Q - begun_Q + 1,
    turns=ended.turn,
    busy=ended.busy,
  )


def _there(queue, number):
  """The queue of the first so many requests."""
  number = np.int32(number)
  (own,) = queue.answers
  return queue.replace(number=number, answers=(own.replace(number=number),))


def summary(served: Served, slots: int, room: int) -> dict[str, float]:
  """Returns what serving benchmarks tell, by the names that vLLM's has.

  Times to the first token (ttft), a token after it (tpot) and to the last one
  (e2el) are milliseconds, as medians and 99th percentiles. Of the tokens that
  slots have room for, `kv_cache_usage` is the share that they held, on average
  over the turns; a layer with a window has room for fewer.

  Args:
    served: Served.
    slots: how many there were.
    room: tokens of each, as of `queue.Slots`.
  """
  seconds = float(served.ended_Q.max())
  more_Q = np.maximum(served.tokens_Q - 1, 1)
  # An answer grows by as much in each of its turns.
  held_Q = served.turns_Q * (served.prompt_Q + served.tokens_Q / 2)
  times = {
    'ttft': served.first_Q - served.arrived_Q,
    'tpot': (served.ended_Q - served.first_Q) / more_Q,
    'e2el': served.ended_Q - served.arrived_Q,
  }
  found = {
    'duration': seconds,
    'request_throughput': len(served.tokens_Q) / seconds,
    'output_throughput': float(served.tokens_Q.sum()) / seconds,
    'output_length': float(served.tokens_Q.mean()),
    'occupancy': served.busy / served.turns / slots,
    'kv_cache_usage': float(held_Q.sum()) / served.turns / slots / room,
    'turns': served.turns,
  }
  for name, x_Q in times.items():
    found[f'median_{name}_ms'] = 1e3 * float(np.median(x_Q))
    found[f'p99_{name}_ms'] = 1e3 * float(np.percentile(x_Q, 99))
  return found
