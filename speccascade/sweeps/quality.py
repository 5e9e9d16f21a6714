"""Outputs of every example under every setting, scored and kept.

By coupled randomness the text of most methods is that of every draft plan. It
is decoded once, at one gamma, and `replay` tells the counts of other gammas;
other schedules are decoded for their counts alone. A method whose text depends
on the plan is decoded under each. Outputs lie in `outputs/<method>.jsonl`, a
line an example and setting; a batch that is whole there is not decoded again.

Letters: E examples, P prompts of a batch, B rows, N tokens of an answer.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath

from speccascade.decoding import replay, schedules
from speccascade.runs import records
from speccascade.sweeps import batches
from speccascade.sweeps import points as points_lib
from speccascade.tasks import bootstrap, metrics


@dataclasses.dataclass(frozen=True)
class Job:
  """Settings that are decoded together.

  Attributes:
    settings: of drafting methods, or of one other method.
    plan: to decode with; None where nothing is drafted ahead.
    keeps: what lines keep: 'text', of any plan; 'counts', of this plan; or
      'both'.
  """

  settings: tuple[points_lib.Setting, ...]
  plan: schedules.Plan | None
  keeps: str

  @property
  def label(self) -> str:
    """What a progress bar says."""
    names = list(dict.fromkeys(s.method for s in self.settings))
    what = names[0] if len(names) == 1 else f'{len(names)} methods'
    return f'{what}: {"counts" if self.keeps == "counts" else "outputs"}'

  def id(self, setting: points_lib.Setting) -> str:
    """Name of the lines of a setting."""
    return setting.id(None if self.keeps == 'text' else self.plan)


def jobs(
  settings: Sequence[points_lib.Setting], plans: Sequence[schedules.Plan]
) -> list[Job]:
  """Everything that a sweep decodes for quality and counts."""
  found = []
  for name in dict.fromkeys(s.method for s in settings):
    own = tuple(s for s in settings if s.method == name)
    if not own[0].of.drafts:
      found.append(Job(own, None, 'both'))
  drafting = [s for s in settings if s.of.drafts]
  any_plan = tuple(s for s in drafting if not s.of.plan_changes_text)
  each_plan = tuple(s for s in drafting if s.of.plan_changes_text)
  if any_plan:
    found.append(Job(any_plan, _middle(plans), 'text'))
    found += [Job(any_plan, p, 'counts') for p in plans if not p.fixed]
  if each_plan:
    found += [Job(each_plan, plan, 'both') for plan in plans]
  return found


def _middle(plans):
  """A middle draft length: few verifier calls, few wasted drafts."""
  gammas = sorted(plan.gamma for plan in plans if plan.fixed)
  return schedules.Plan(gammas[len(gammas) // 2])


def collect(
  workload: batches.Workload,
  job: Job,
  batch_size: int,
  folder: epath.Path,
  advance: Callable[[int], None],
) -> dict[str, list[dict[str, Any]]]:
  """Decodes what is missing from a job's outputs and returns them all.

  Args:
    workload: Workload.
    job: Job.
    batch_size: rows decoded at a time, settings times prompts; settings
      beyond it are decoded in parts.
    folder: of the JSONL files, one a method.
    advance: called with the number of outputs finished.

  Returns:
    {`job.id` of each setting: its lines in the order of the examples}.

  Raises:
    ValueError: a model gave NaN, or a file has a line that no kill explains.
  """
  paths = {s.method: folder / f'{s.method}.jsonl' for s in job.settings}
  done = {}
  for path in paths.values():
    records.repair(path)
    done |= _read(path)
  # Answers of a length share a batch, which lasts as long as its longest.
  order = np.argsort(_target_lengths(workload), kind='stable')
  width = batches.padded(workload.length_E.max())
  for settings in _parts(job.settings, batch_size):
    size = max(1, batch_size // len(settings))
    for index_P, count in batches.split(order, size):
      ids = [(job.id(s), int(i)) for s in settings for i in index_P[:count]]
      if not all(key in done for key in ids):
        lines = _decode(workload, job, settings, index_P, count, width)
        for method, path in paths.items():
          records.append_lines(
            path,
            [x for own, x in lines if own == method and _key(x) not in done],
          )
        done = {_key(line): line for _, line in lines} | done
      advance(len(ids))
  return {
    job.id(s): [done[job.id(s), i] for i in range(len(order))]
    for s in job.settings
  }


def _parts(settings, batch_size):
  """Settings in as few parts of equal size as fit a batch."""
  number = -(-len(settings) // batch_size)
  size = -(-len(settings) // number)
  return [settings[i : i + size] for i in range(0, len(settings), size)]


def _decode(workload, job, settings, index_P, count, width):
  """(method, line) of each setting and each of the first `count` prompts."""
  prompts = batches.prompts(workload, index_P, len(settings), width)
  result = batches.decode(workload, prompts, settings, job.plan)
  _check_finite(workload, result)
  told = []
  if job.keeps != 'counts':
    told.append(_texts(workload, result))
  if result.counts is not None:
    told.append(_counts(result, job.keeps))
  lines = []
  for s, setting in enumerate(settings):
    for i, example in enumerate(index_P[:count].tolist()):
      line = {'id': job.id(setting), 'example': example}
      for tell in told:
        line |= tell(s * len(index_P) + i, example)
      lines.append((setting.method, line))
  return lines


def _target_lengths(workload):
  targets = workload.pair.tokenizer.encode(
    [e.target for e in workload.examples]
  )
  return [len(target) for target in targets]


def _read(path):
  """{(id, example): output} of the whole lines."""

  def parse(line):
    output = json.loads(line)
    return _key(output), output

  return dict(records.read_lines(path, parse))


def _key(line):
  return line['id'], line['example']


def _check_finite(workload, result):
  counts = result.counts
  if counts is not None and not np.isfinite(counts.divergence_B).all():
    raise ValueError(
      f'a model of pair {workload.pair.name} gave NaN; check its checkpoints, '
      'or compute in float32'
    )


def _texts(workload, result):
  """A function from a row and its example to the row's text and score."""
  token_BxN = np.asarray(result.token_BxN)
  length_B = np.asarray(result.length_B)
  drafted_BxN = result.from_drafter_BxN
  if drafted_BxN is not None:
    drafted_BxN = np.asarray(drafted_BxN).astype(int)

  def tell(row, example):
    length = int(length_B[row])
    text = workload.pair.tokenizer.decode(token_BxN[row, :length].tolist())
    reference = workload.examples[example].reference
    line = {
      'score': workload.task.score(text, reference),
      'statistics': workload.task.statistics(text, reference),
      'tokens': length,
      'text': text,
    }
    if drafted_BxN is not None:
      line['from_drafter'] = ''.join(map(str, drafted_BxN[row, :length]))
    return line

  return tell


def _counts(result, keeps):
  """A function from a row to what it took: of any plan, or of this one."""
  counts = result.counts
  of_text = {
    'deferred': np.asarray(counts.deferred_B),
    'divergence': np.asarray(counts.divergence_B, float),
  }
  of_plan = {
    'verifier_calls': np.asarray(counts.verifier_calls_B),
    'drafter_steps': np.asarray(counts.drafter_steps_B),
    'accepted_lengths': np.asarray(counts.accepted_lengths_BxA),
  }
  told = of_text if keeps == 'text' else of_text | of_plan
  return lambda row, example: {k: x[row].tolist() for k, x in told.items()}


def summarise(
  texts: list[dict[str, Any]],
  metric: str,
  setting: points_lib.Setting,
  plan: schedules.Plan | None,
  counted: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
  """The fields of a record that outputs tell.

  Args:
    texts: lines of `collect` with the point's text.
    metric: the task's.
    setting: Setting.
    plan: Plan of the point, or None.
    counted: lines of `collect` with the counts of this plan, where there are
      any; else they are replayed at the plan's gamma.
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
    'example_tokens': tokens,
    'example_rejected': rejected,
    'output_length': sum(tokens) / len(texts),
    'counts': counts,
    'block_efficiency': sum(tokens) / calls if calls else 1.0,
    'rejection_rate': counts['rejected'] / sum(tokens),
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


def _summed(lines):
  """The counts of lines that were decoded under the plan itself."""
  return _of_plan(
    sum(x['verifier_calls'] for x in lines),
    sum(x['drafter_steps'] for x in lines),
    sum(np.array(x['accepted_lengths'], int) for x in lines),
  )


def _of_plan(calls, steps, histogram):
  return {
    'verifier_calls': calls,
    'drafter_steps': steps,
    'drafted': steps,
    'accepted_lengths': histogram.tolist(),
  }
