"""Wall time at batch 1, beside the verifier alone and strict, in one run.

Every trial takes each prompt through the verifier alone, strict at each draft
length and each point in turn, so that a slow moment of the machine falls on
all of them. Compiling and a first run come before the clock starts.
"""

import dataclasses
import time

import jax

from speccascade.sweeps import settings as settings_lib
from speccascade.sweeps import workload as workload_lib


def draft_lengths(setting, gammas):
  """The draft lengths of a setting's points: None for a model alone."""
  return (None,) if setting.rule in settings_lib.ALONE else tuple(gammas)


def measure(workload, settings, gammas, num_prompts, trials, advance):
  """Times settings of one sampling at each draft length.

  Args:
    workload: Workload.
    settings: Settings that differ in rule and alpha alone.
    gammas: draft lengths.
    num_prompts: how many examples, from the first on.
    trials: times the whole is repeated.
    advance: called with 1 for each prompt of each trial.

  Returns:
    {(setting, gamma): seconds of each trial, summed over the prompts}, gamma
    None for a model alone. Also of the baselines.
  """
  points = baselines(settings[-1], gammas)
  for setting in settings:
    points += [(setting, g) for g in draft_lengths(setting, gammas)]
  points = list(dict.fromkeys(points))
  prompts = [workload_lib.prompts(workload, [i]) for i in range(num_prompts)]
  _warm_up(workload, prompts, points)
  seconds = {point: [] for point in points}
  for _ in range(trials):
    total = dict.fromkeys(points, 0.0)
    for prompt in prompts:
      for setting, gamma in points:
        total[setting, gamma] += _seconds(workload, prompt, setting, gamma)
      advance(1)
    for point in points:
      seconds[point].append(total[point])
  return seconds


def _warm_up(workload, prompts, points):
  """Compiles and runs each program once for each width of prompts."""
  widths = {prompt.token_PxS.shape[1]: prompt for prompt in prompts}
  programs = {(s.rule, gamma): s for s, gamma in points}
  for prompt in widths.values():
    for (_, gamma), setting in programs.items():
      _seconds(workload, prompt, setting, gamma)


def baselines(setting, gammas):
  """The points that a setting is compared with: verifier alone and strict."""
  points = [(_like(setting, settings_lib.VERIFIER_ALONE), None)]
  if setting.rule not in settings_lib.ALONE:
    points += [(_like(setting, 'strict'), gamma) for gamma in gammas]
  return points


def _like(setting, rule):
  return dataclasses.replace(setting, rule=rule, alpha=None)


def _seconds(workload, prompts, setting, gamma):
  start = time.perf_counter()
  jax.block_until_ready(
    workload_lib.decode(workload, prompts, [setting], gamma)
  )
  return time.perf_counter() - start


def summarise(seconds, setting, gamma):
  """The fields of a record that `measure` tells of a point."""
  verifier, *strict = baselines(setting, [gamma])
  own, base = seconds[setting, gamma], seconds[verifier]
  return {
    'seconds': own,
    'verifier_seconds': base,
    'strict_seconds': seconds[strict[0]] if strict else None,
    'relative_latency': [a / b for a, b in zip(own, base, strict=True)],
  }
