"""Wall time at batch 1: every point beside the verifier alone, in one run.

A turn takes one prompt through all points of a sampling, the verifier alone
and strict among them, so that a slow moment of the machine falls on all; in
another order each turn, as what ran before leaves the caches warm or cold.
Turns lie in `timings.jsonl`, a line each, and a resumed sweep takes those that
are missing. Compiling and a first run come before the clock starts.

Letters: T trials, P prompts.
"""

import json

import numpy as np

from speccascade import methods
from speccascade.methods import choice as choice_lib
from speccascade.runs import records
from speccascade.sweeps import batches
from speccascade.sweeps import points as points_lib
from speccascade.timing import clock

_KEY = ('temperature', 'top_p', 'trial', 'example')


def measure(workload, points, num_prompts, trials, path, advance):
  """Times points of one sampling.

  Args:
    workload: Workload.
    points: list of (setting, plan).
    num_prompts: how many examples, from the first on.
    trials: turns of each prompt.
    path: JSONL file of the turns, of all samplings.
    advance: called with 1 for each turn.

  Returns:
    {point id: seconds_TxP of each trial and prompt}.
  """
  records.repair(path)
  sampling = points[0][0].sampling
  done = _read(path)
  keys = [
    (*sampling, trial, example)
    for trial in range(trials)
    for example in range(num_prompts)
  ]
  missing = [key for key in keys if key not in done]
  advance(len(keys) - len(missing))
  prompts = {e: batches.prompts(workload, [e]) for *_, e in missing}
  choice = _choice(points)
  _warm_up(workload, prompts.values(), points, choice)
  for key in missing:
    seconds = {
      setting.id(plan): _seconds(
        workload, prompts[key[-1]], setting, plan, choice
      )
      for setting, plan in _shuffled(points, key)
    }
    turn = dict(zip(_KEY, key, strict=True), seconds=seconds)
    records.append_lines(path, [turn])
    done[key] = seconds
    advance(1)
  return {
    name: np.array(
      [
        [done[*sampling, trial, e][name] for e in range(num_prompts)]
        for trial in range(trials)
      ]
    )
    for name in (setting.id(plan) for setting, plan in points)
  }


def _choice(points):
  """One program for all drafting methods: see `methods.choice`."""
  drafting = dict.fromkeys(s.of for s, plan in points if plan is not None)
  return choice_lib.Choice(tuple(drafting))


def _shuffled(points, key):
  """The points in the order of a turn, the same in a resumed sweep."""
  *_, trial, example = key
  order = np.random.default_rng((trial, example)).permutation(len(points))
  return [points[i] for i in order]


def _read(path):
  """{(temperature, top-p, trial, example): seconds of each point}."""

  def parse(line):
    turn = json.loads(line)
    return tuple(turn[k] for k in _KEY), turn['seconds']

  return dict(records.read_lines(path, parse))


def _warm_up(workload, prompts, points, choice):
  """Compiles and runs each program once for each width of prompts."""
  widths = {prompt.token_PxS.shape[1]: prompt for prompt in prompts}
  programs = {
    (plan or setting.method): (setting, plan) for setting, plan in points
  }
  for prompt in widths.values():
    for setting, plan in programs.values():
      _seconds(workload, prompt, setting, plan, choice)


def _seconds(workload, prompts, setting, plan, choice):
  _, seconds = clock.seconds(
    batches.decode, workload, prompts, [setting], plan, choice
  )
  return seconds


def summarise(seconds, setting, plan):
  """The fields of a record that `measure` tells of a point."""
  own = seconds[setting.id(plan)]
  alone = points_lib.like(setting, methods.VERIFIER_ALONE)
  base = seconds[alone.id()]
  strict = None
  if plan is not None:
    strict = seconds[points_lib.like(setting, methods.STRICT).id(plan)]
  return {
    'seconds': own.sum(1).tolist(),
    'example_seconds': own.mean(0).tolist(),
    'verifier_seconds': base.sum(1).tolist(),
    'strict_seconds': None if strict is None else strict.sum(1).tolist(),
    'relative_latency': (own.sum(1) / base.sum(1)).tolist(),
  }
