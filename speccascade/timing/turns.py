"""Times a turn of a loop on the device: above zero by construction.

A run of no turns takes what starting a run takes. The turns are doubled until a
run takes ten times as long, and each time is the least of several rounds: a
busy machine only ever adds to it, and the shorter a run, the likelier that one
is spared.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from speccascade.timing import clock, warm

_TIMES = 10  # A run takes so many times as long as one of no turns, or
_SECONDS = 1  # its turns take so long, or it has
MOST = 1024  # turns.


class Loop(NamedTuple):
  """What is timed.

  Attributes:
    start: () -> what a run starts from; its time does not count.
    run: (start, turns) -> what is ready after so many turns; one program for
      any number of them, 0 too.
  """

  start: Callable[[], Any]
  run: Callable[[Any, int], Any]


@dataclasses.dataclass(frozen=True)
class Turn:
  """How long a turn takes.

  Attributes:
    ms: milliseconds, above zero.
    turns: of each run that was timed.
    spread: the slowest of these runs over the fastest.
  """

  ms: float
  turns: int
  spread: float


def measure(
  loops: dict[Any, Loop], rounds: int, least: int = 1
) -> dict[Any, Turn]:
  """Times a turn of each loop.

  In a round each loop runs once, after the one before; those whose runs then
  prove too short have longer ones in further rounds.

  Args:
    loops: {name: loop}.
    rounds: number of timings of each loop.
    least: fewest turns of a run, at most `MOST`.

  Returns:
    {name: Turn}.
  """
  warm.up(
    lambda loop=loop: loop.run(loop.start(), 0) for loop in loops.values()
  )
  turns = {name: _enough_alone(loop, least) for name, loop in loops.items()}
  found, left = {}, loops
  while left:
    timed = {name: [] for name in left}
    for _ in range(rounds):
      for name, loop in left.items():
        timed[name].append(_times(loop, turns[name]))
    for name, times in timed.items():
      empty, full = map(min, zip(*times, strict=True))
      if not _enough(empty, full, turns[name]):
        turns[name] *= 2
        continue
      # Only where MOST turns were not enough is the difference the less.
      seconds = max(full - empty, min(full / _TIMES, _SECONDS))
      found[name] = Turn(
        ms=seconds / turns[name] * 1e3,
        turns=turns[name],
        spread=max(time for _, time in times) / full,
      )
    left = {name: loop for name, loop in loops.items() if name not in found}
  return {name: found[name] for name in loops}


def _enough_alone(loop, turns):
  """How many turns are enough, by single runs."""
  while not _enough(*_times(loop, turns), turns):
    turns *= 2
  return turns


def _enough(empty, full, turns):
  own = full - empty
  return full >= _TIMES * empty or own >= _SECONDS or 2 * turns > MOST


def _times(loop, turns):
  """(seconds of a run of no turns, of one of so many)."""
  start = jax.block_until_ready(loop.start())
  seconds = (clock.seconds(loop.run, start, n)[1] for n in (0, turns))
  return tuple(max(x, clock.RESOLUTION) for x in seconds)
