"""A point's record: what its outputs, turns and costs tell.

Letters: T trials, P timed prompts.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from speccascade.decoding import replay, schedules
from speccascade.methods import base
from speccascade.runs import records
from speccascade.sweeps import batches, latency, points
from speccascade.sweeps import config as config_lib
from speccascade.tasks import bootstrap, metrics
from speccascade.timing import costs as costs_lib
from speccascade.timing import prediction


def make(
  sweep: config_lib.Sweep,
  workload: batches.Workload,
  point: latency.Point,
  texts: Mapping[str, list[dict]],
  counted: Mapping[str, list[dict]],
  turns: Mapping[latency.Key, list[dict]],
) -> dict[str, Any]:
  """Returns the record of a point, but for what `environment` describes.

  Args:
    sweep: Sweep.
    workload: Workload.
    point: of the sweep.
    texts: as of `jobs.collect`.
    counted: likewise.
    turns: {key: answers of each line}, none of which is missing.
  """
  setting, plan = point
  own, P = texts[setting.text_id(plan)], sweep.latency_examples
  timed = latency.timed(point, P, sweep.trials, turns)
  widths = [batches.padded(length) for length in workload.length_E[:P]]
  return (
    {'schema': records.SCHEMA}
    | of_point(setting, plan)
    | frame(sweep, workload)
    | of_outputs(
      own, workload.task.metric, setting, plan, counted.get(setting.id(plan))
    )
    | of_turns(timed, own[:P])
    | of_costs(workload.costs, plan)
    | {
      'predicted_seconds': predicted_seconds(
        own[:P], widths, workload.costs, setting, plan
      )
    }
  )


def frame(
  sweep: config_lib.Sweep, workload: batches.Workload
) -> dict[str, Any]:
  """The fields that all records of a sweep share, so that they compare."""
  return {
    'task': sweep.task,
    'pair': workload.pair.name,
    'metric': workload.task.metric,
    'top_k': sweep.top_k,
    'seed': sweep.seed,
    'num_examples': sweep.num_examples,
    'max_new_tokens': workload.task.max_new_tokens,
    'latency_examples': sweep.latency_examples,
    'dtype': sweep.numbers,
  }


def compares(
  record: Mapping[str, Any], frame: Mapping[str, Any], trials: int
) -> bool:
  """Whether a record has the frame, and as many trials."""
  return len(record['seconds']) == trials and all(
    record[field] == value for field, value in frame.items()
  )


def of_point(
  setting: points.Setting, plan: schedules.Plan | None
) -> dict[str, Any]:
  """The fields that name a point."""
  return {
    'id': setting.id(plan),
    'method': setting.method,
    'parameters': setting.parameters,
    'traits': base.traits(setting.of),
    'family': setting.of.family,
    'gamma': plan and plan.gamma,
    'schedule': plan and plan.schedule,
    'schedule_parameter': plan and plan.parameter,
    'temperature': setting.temperature,
    'top_p': setting.top_p,
  }


def of_costs(
  costs: costs_lib.Costs, plan: schedules.Plan | None
) -> dict[str, Any]:
  """The costs that a measured plan weighed, which its counts depend on."""
  if not batches.is_measured(plan):
    return {'costs': None, 'cost_spread': None}
  given_G = batches.costs_G(costs, plan)
  return {'costs': list(given_G), 'cost_spread': costs.spread}


def of_turns(
  timed: latency.Timed, scored: Collection[Mapping[str, Any]]
) -> dict[str, Any]:
  """The fields of a record that turns tell.

  Args:
    timed: of the point.
    scored: lines of the timed examples with the point's text.
  """
  seconds_TxP, base_TxP = timed.seconds, timed.verifier_seconds
  digest_P = np.array([x['digest'] for x in scored])
  return {
    'seconds': _sums(seconds_TxP),
    'example_seconds': seconds_TxP.mean(0).tolist(),
    'verifier_seconds': _sums(base_TxP),
    'verifier_example_seconds': base_TxP.mean(0).tolist(),
    'strict_seconds': _sums(timed.strict_seconds),
    'relative_latency': (seconds_TxP.sum(1) / base_TxP.sum(1)).tolist(),
    'timed_tokens': timed.tokens[0].tolist(),
    'timed_calls': timed.calls[0].tolist(),
    'timed_differs': float((timed.digests != digest_P).mean()),
  }


def _sums(x_TxP):
  return None if x_TxP is None else x_TxP.sum(1).tolist()


def predicted_seconds(
  texts: Sequence[dict[str, Any]],
  widths: Sequence[int],
  costs: costs_lib.Costs,
  setting: points.Setting,
  plan: schedules.Plan | None,
) -> float | None:
  """Seconds that counts and costs predict, or None where they do not.

  Args:
    texts: lines of the timed examples with the point's text.
    widths: of their prompts.
    costs: of the pair.
    setting: Setting.
    plan: Plan of the point, or None.
  """
  replayed = plan is not None and not setting.of.plan_changes_text
  gamma = plan.gamma if replayed and plan.fixed else None
  return prediction.seconds(texts, widths, costs, setting.of.role, gamma)


def of_outputs(
  texts: Sequence[dict[str, Any]],
  metric: str,
  setting: points.Setting,
  plan: schedules.Plan | None,
  counted: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
  """The fields of a record that outputs tell.

  Args:
    texts: lines with the point's text.
    metric: the task's.
    setting: Setting.
    plan: Plan of the point, or None.
    counted: lines with the counts of this plan, where there are any; else they
      are replayed at the plan's gamma.
  """
  tokens = [x['tokens'] for x in texts]
  statistics = [x['statistics'] for x in texts]
  counts = dict.fromkeys(records.COUNTS, 0)
  counts |= {'tokens': sum(tokens), 'divergence': 0.0, 'accepted_lengths': []}
  rejected = [0] * len(texts)
  if role := setting.of.role:
    steps = {'verifier': 'verifier_calls', 'drafter': 'drafter_steps'}[role]
    counts[steps] = sum(tokens)
  else:
    rejected = [x['from_drafter'].count('0') for x in texts]
    counts |= {
      'accepted': sum(tokens) - sum(rejected),
      'rejected': sum(rejected),
      'deferred': sum(x['deferred'] for x in texts),
      'divergence': sum(x['divergence'] for x in texts),
      **(_replayed(texts, plan) if counted is None else _summed(counted)),
    }
  calls = counts['verifier_calls']
  return {
    'num_examples': len(texts),
    'quality': metrics.quality(metric, statistics),
    'quality_stderr': bootstrap.standard_error(metric, statistics),
    'example_statistics': statistics,
    'more': _more(texts),
    'example_tokens': tokens,
    'example_rejected': rejected,
    'positions': [] if role else _positions(texts),
    'output_length': sum(tokens) / len(texts),
    'counts': counts,
    'block_efficiency': sum(tokens) / calls if calls else 1.0,
    'rejection_rate': counts['rejected'] / sum(tokens),
  }


def _positions(texts):
  """(tokens of the drafter, tokens) at each place of the answers."""
  size = records.POSITIONS
  longest = max(x['tokens'] for x in texts)
  parts = [
    [x['from_drafter'][start : start + size] for x in texts]
    for start in range(0, longest, size)
  ]
  return [[sum(x.count('1') for x in own), sum(map(len, own))] for own in parts]


def _more(texts):
  """The means of the scores that are told beside the metric."""
  names = texts[0].get('more', {})
  return {
    name: sum(x['more'][name] for x in texts) / len(texts) for name in names
  }


def _replayed(texts, plan):
  """The counts of texts under a fixed draft length."""
  histogram = sum(
    replay.accepted_lengths([c == '1' for c in x['from_drafter']], plan.gamma)
    for x in texts
  )
  calls = int(histogram.sum())
  steps = calls * (plan.gamma + 1)
  return _of_plan(calls, steps, histogram)


def _summed(counted):
  """The counts of lines that were decoded under the plan itself."""
  return _of_plan(
    sum(x['verifier_calls'] for x in counted),
    sum(x['drafter_steps'] for x in counted),
    sum(np.array(x['accepted_lengths'], int) for x in counted),
  )


def _of_plan(calls, steps, histogram):
  return {
    'verifier_calls': calls,
    'drafter_steps': steps,
    'drafted': steps,
    'accepted_lengths': histogram.tolist(),
  }
