"""Wall time at batch 1: every point beside the verifier alone, in one run.

A turn takes one prompt through points of a sampling, with the verifier alone
and strict under the same plans among them, so that a slow moment of the machine
falls on all; in another order each turn, as what ran before leaves the caches
warm or cold. Turns lie in `timings.jsonl`, a line each. A sweep takes those
that are missing: all points in a turn at first, later the new ones with what
they are compared with. A point is compared within its own turns only. Compiling
and a first run come before the clock starts.

Letters: T trials, P prompts.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from speccascade import methods
from speccascade.decoding import schedules
from speccascade.methods import choice as choice_lib
from speccascade.storage import field_types, json_text, lines
from speccascade.sweeps import batches, outputs
from speccascade.sweeps import points as points_lib
from speccascade.timing import clock, warm

Point = tuple[points_lib.Setting, schedules.Plan | None]
Key = tuple[float, float, int, int]  # Temperature, top-p, trial and example.

_KEY = {
  'temperature': field_types.NUMBER,
  'top_p': field_types.NUMBER,
  'trial': int,
  'example': int,
}
_ANSWER = {
  'seconds': field_types.NUMBER,
  'tokens': int,
  'calls': int,  # Of the verifier.
  'digest': str,  # Of the tokens; see `outputs.digest`.
}


class Turn(NamedTuple):
  """A prompt to be taken through points.

  Attributes:
    key: Key.
    points: of one sampling.
  """

  key: Key
  points: list[Point]


@dataclasses.dataclass(frozen=True)
class Timed:
  """What the turns of a point tell, an array of T x P each.

  Attributes:
    seconds: of the point.
    verifier_seconds: of the verifier alone, in the same turns.
    strict_seconds: of strict under the same plan; None without a plan.
    tokens: of its answers.
    calls: of the verifier.
    digests: of the tokens.
  """

  seconds: np.ndarray
  verifier_seconds: np.ndarray
  strict_seconds: np.ndarray | None
  tokens: np.ndarray
  calls: np.ndarray
  digests: np.ndarray


def read(path: epath.Path) -> tuple[lines.Log, dict[Key, list[dict]]]:
  """Opens the file of the turns.

  Returns:
    The Log, and {key: the answers {point id: answer} of each of its lines},
    which grows with it.

  Raises:
    ValueError: a line that no kill explains; the message names file and line.
  """
  done = collections.defaultdict(list)

  def parse(data):
    turn = json_text.loads(data)
    if not isinstance(turn, dict):
      raise ValueError(f'a turn must be an object, got {turn!r:.40}')
    field_types.check(turn, _KEY | {'answers': dict}, 'a turn')
    if not turn['answers']:
      raise ValueError('a turn must have the answers of a point')
    for name, answer in turn['answers'].items():
      _check_answer(answer, f'the answer of {name!r:.200}')
    done[tuple(turn[k] for k in _KEY)].append(turn['answers'])

  return lines.Log(path, parse), done


def _check_answer(answer, name):
  if not isinstance(answer, dict):
    raise ValueError(f'{name} must be an object, got {answer!r:.40}')
  field_types.check(answer, _ANSWER, name)
  for field in ('seconds', 'tokens'):
    if answer[field] <= 0:
      raise ValueError(f'{name}: {field} must be positive')
  if answer['calls'] < 0:
    raise ValueError(f'{name}: calls must not be negative')


def missing(
  points: Sequence[Point],
  num_prompts: int,
  trials: int,
  done: Mapping[Key, list[dict]],
) -> list[Turn]:
  """The turns that the points of a sampling lack.

  Args:
    points: of one sampling, the verifier alone and strict among them.
    num_prompts: how many examples, from the first on.
    trials: turns of each prompt.
    done: the turns that there are.
  """
  sampling = points[0][0].sampling
  ids = {point: _ids(*point) for point in points}
  found = []
  for trial in range(trials):
    for example in range(num_prompts):
      key = (*sampling, trial, example)
      answers = done.get(key, ())
      lacking = [p for p in points if _find(answers, ids[p]) is None]
      if lacking:
        with_them = {name for p in lacking for name in ids[p]}
        own = [p for p in points if ids[p][0] in with_them]
        found.append(Turn(key, own))
  return found


def _ids(setting, plan):
  """Names of a point and of those that it is compared with."""
  names = [setting.id(plan)]
  names.append(points_lib.like(setting, methods.VERIFIER_ALONE).id())
  if plan is not None:
    names.append(points_lib.like(setting, methods.STRICT).id(plan))
  return names


def _find(answers, ids):
  """The first of some lines with a point and what it is compared with."""
  return next((x for x in answers if all(name in x for name in ids)), None)


def programs(
  workload: batches.Workload, turns: Sequence[Turn]
) -> dict[Hashable, tuple[Point, int]]:
  """{program: (a point that it decodes, an example)} of all turns."""
  choice = _choice(turns)
  found = {}
  for key, points in turns:
    example = key[-1]
    width = batches.padded(workload.length_E[example])
    for setting, plan in points:
      program = batches.program([setting], plan, 1, width, choice)
      found.setdefault(program, ((setting, plan), example))
  return found


def measure(
  workload: batches.Workload,
  turns: Sequence[Turn],
  log: lines.Log,
  advance: Callable[[int], Any],
) -> None:
  """Takes turns of one sampling.

  Args:
    workload: Workload.
    turns: that are missing.
    log: of `read`.
    advance: called with the number of answers of each turn.
  """
  choice = _choice(turns)
  prompts = {
    example: batches.prompts(workload, [example])
    for example in sorted({turn.key[-1] for turn in turns})
  }
  warm.up(
    functools.partial(_answer, workload, prompts[example], *point, choice)
    for point, example in programs(workload, turns).values()
  )
  for key, points in turns:
    told = {
      setting.id(plan): _answer(
        workload, prompts[key[-1]], setting, plan, choice
      )
      for setting, plan in _shuffled(points, key)
    }
    log.append([dict(zip(_KEY, key, strict=True), answers=told)])
    advance(len(points))


def _choice(turns):
  """One program for all drafting methods: see `methods.choice`."""
  points = {point: None for turn in turns for point in turn.points}
  drafting = dict.fromkeys(s.of for s, plan in points if plan is not None)
  return choice_lib.Choice(tuple(drafting))


def _shuffled(points, key):
  """The points in the order of a turn."""
  *_, trial, example = key
  order = np.random.default_rng((trial, example)).permutation(len(points))
  return [points[i] for i in order]


def _answer(workload, prompts, setting, plan, choice):
  """What a line keeps of an answer; the clock sees its decoding only."""
  result, seconds = clock.seconds(
    batches.decode, workload, prompts, [setting], plan, choice
  )
  result = jax.device_get(result)
  tokens = int(result.length_B[0])
  if result.counts is not None:
    calls = int(result.counts.verifier_calls_B[0])
  else:
    calls = tokens if setting.of.role == 'verifier' else 0
  return {
    'seconds': seconds,
    'tokens': tokens,
    'calls': calls,
    'digest': outputs.digest(result.token_BxN[0, :tokens]),
  }


def timed(
  point: Point,
  num_prompts: int,
  trials: int,
  done: Mapping[Key, list[dict]],
) -> Timed:
  """What the turns of a point tell, none of which is missing."""
  setting, plan = point
  own, alone, *strict = ids = _ids(setting, plan)
  lines_TxP = [
    [_find(done[*setting.sampling, trial, e], ids) for e in range(num_prompts)]
    for trial in range(trials)
  ]

  def column(name, field):
    return np.array([[x[name][field] for x in row] for row in lines_TxP])

  return Timed(
    seconds=column(own, 'seconds'),
    verifier_seconds=column(alone, 'seconds'),
    strict_seconds=column(*strict, 'seconds') if strict else None,
    tokens=column(own, 'tokens'),
    calls=column(own, 'calls'),
    digests=column(own, 'digest'),
  )
