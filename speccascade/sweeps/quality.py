"""What a sweep decodes for quality and counts.

By coupled randomness the text of most methods is that of every draft plan. It
is decoded once, at one gamma, and `replay` tells the counts of other gammas;
other schedules are decoded for their counts alone. A method whose text depends
on the plan is decoded under each. What lies in `outputs` is not decoded again.

Letters: E examples, P prompts of a batch, B rows.
"""

import collections
import dataclasses
import json
import os
import queue
import threading
from collections.abc import (
  Collection,
  Hashable,
  Iterator,
  Mapping,
  Sequence,
)
from concurrent import futures
from typing import Any

import jax
import numpy as np

from speccascade import hosts
from speccascade.decoding import results, schedules
from speccascade.storage import lines
from speccascade.sweeps import batches, outputs
from speccascade.sweeps import points as points_lib
from speccascade.tasks import metrics
from speccascade.timing import costs as costs_lib

# Programs at a time. Each holds the buffers of a batch while it decodes.
_SIDE_BY_SIDE = min(4, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Job:
  """Settings that are decoded together.

  Attributes:
    settings: of drafting methods, or of one other method.
    plan: to decode with; None where nothing is drafted ahead.
    keeps: what lines keep: 'text', of any plan; 'counts', of this plan; or
      'both'.
    costs: digest of the costs that the plan's schedule weighs, on which counts
      depend; '' where it weighs none.
  """

  settings: tuple[points_lib.Setting, ...]
  plan: schedules.Plan | None
  keeps: str
  costs: str = ''

  @property
  def label(self) -> str:
    """What a progress bar says."""
    names = list(dict.fromkeys(s.method for s in self.settings))
    what = names[0] if len(names) == 1 else f'{len(names)} methods'
    return f'{what}: {"counts" if self.keeps == "counts" else "outputs"}'

  def id(self, setting: points_lib.Setting) -> str:
    """Name of the lines of a setting."""
    return setting.id(None if self.keeps == 'text' else self.plan)

  def key(self, setting: points_lib.Setting, example: int) -> outputs.Key:
    """Key of a line."""
    return self.id(setting), example, self.costs


@dataclasses.dataclass(frozen=True)
class Batch:
  """Prompts that are decoded at once, each under every setting.

  Attributes:
    job: Job.
    settings: of it.
    index_P: examples.
    count: how many of them count; the others fill the batch up.
    width: that the prompts are padded to.
  """

  job: Job
  settings: tuple[points_lib.Setting, ...]
  index_P: np.ndarray
  count: int
  width: int

  @property
  def keys(self) -> list[outputs.Key]:
    """Keys of its lines."""
    index = self.index_P[: self.count].tolist()
    return [
      self.job.key(s, example) for s in self.settings for example in index
    ]

  @property
  def outputs(self) -> int:
    """Outputs that it makes."""
    return len(self.settings) * self.count

  @property
  def program(self) -> Hashable:
    """See `batches.program`."""
    return batches.program(
      self.settings, self.job.plan, len(self.index_P), self.width
    )


def jobs(
  settings: Sequence[points_lib.Setting],
  plans: Sequence[schedules.Plan],
  costs: costs_lib.Costs | None = None,
) -> list[Job]:
  """Everything that a sweep decodes for quality and counts.

  Args:
    settings: of the sweep.
    plans: likewise.
    costs: that measured plans weigh, if they are known.
  """
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
    found += [
      Job(any_plan, plan, 'counts', _costs(costs, plan))
      for plan in plans
      if not plan.fixed
    ]
  if each_plan:
    found += [
      Job(each_plan, plan, 'both', _costs(costs, plan)) for plan in plans
    ]
  return found


def _costs(costs, plan):
  """Digest of what a measured plan's schedule is given."""
  if not batches.is_measured(plan):
    return ''
  given_G = batches.costs_G(costs, plan)
  return outputs.short_digest(json.dumps(given_G).encode())


def _middle(plans):
  """A middle draft length: few verifier calls, few wasted drafts."""
  gammas = sorted(plan.gamma for plan in plans if plan.fixed)
  return schedules.Plan(gammas[len(gammas) // 2])


def forms(
  workload: batches.Workload, jobs: Sequence[Job]
) -> dict[str, dict[str, outputs.Form]]:
  """{method: {id: the form of its lines}} of all that jobs decode."""
  statistics = metrics.get(workload.task.metric).size
  found = collections.defaultdict(dict)
  for job in jobs:
    text, counts = job.keeps != 'counts', job.keeps != 'text'
    for setting in job.settings:
      both = setting.of.role is None  # Models write the answer.
      found[setting.method][job.id(setting)] = outputs.Form(
        text=text,
        drafted=text and both,
        plan=counts and both,
        accepted=0 if job.plan is None else job.plan.gamma + 2,
        statistics=statistics,
      )
  return found


def missing(
  workload: batches.Workload,
  jobs: Sequence[Job],
  batch_size: int,
  done: Collection[outputs.Key],
) -> list[Batch]:
  """The batches that make all outputs that are not done yet.

  Examples that lack the same settings share batches. So a sweep that was killed
  goes on with the batches, and the programs, that it would have had; and one
  that has grown decodes old examples under new settings only.

  Args:
    workload: Workload.
    jobs: Jobs.
    batch_size: rows decoded at a time, settings times prompts.
    done: the outputs that are there.
  """
  E = len(workload.examples)
  lacking = [
    (job, *own) for job in jobs for own in _lacking(job, E, batch_size, done)
  ]
  # Answers of a length share a batch, which lasts as long as its longest.
  length_E = _target_lengths(workload) if lacking else []
  found = []
  for job, settings, examples in lacking:
    index_E = sorted(examples, key=lambda e: (length_E[e], e))
    size = min(max(1, batch_size // len(settings)), E)
    for own in batches.by_width(workload, index_E, size):
      found.append(Batch(job, settings, *own))
  return found


def _lacking(job, E, batch_size, done):
  """(settings that fit a batch, the examples that lack them) of a job."""
  ids, examples = {s: job.id(s) for s in job.settings}, {}
  for e in range(E):
    lacking = [s for s in job.settings if (ids[s], e, job.costs) not in done]
    examples.setdefault(tuple(lacking), []).append(e)
  lacking = set().union(*examples)
  lacking = [s for s in job.settings if s in lacking]
  for part in batches.parts(lacking, batch_size, len(job.settings)):
    found = {}
    for settings, own in examples.items():
      if shared := tuple(s for s in part if s in settings):
        found.setdefault(shared, []).extend(own)
    # A kill leaves a batch with some settings. It is decoded whole, where
    # others need its program.
    whole, few = tuple(part), batch_size // len(part)
    for settings in sorted(found, key=len):
      is_rest = settings != whole and len(found[settings]) <= few
      if is_rest and whole in found:
        found[whole] += found.pop(settings)
    yield from found.items()


def _target_lengths(workload):
  encode = workload.pair.tokenizer.encode
  return [len(encode(example.target)) for example in workload.examples]


def decode(
  workload: batches.Workload,
  to_decode: Sequence[Batch],
  logs: Mapping[str, lines.Log],
  done: Collection[outputs.Key],
) -> Iterator[Batch]:
  """Decodes batches and keeps their outputs, which may be slow to score.

  Programs run side by side, so that one compiles while another decodes; the
  batches of each follow one another, and are scored while the next is decoded.

  Args:
    workload: Workload.
    to_decode: Batches.
    logs: {method: Log} of `outputs.read`.
    done: the outputs that are there, which are not kept again.

  Yields:
    Each batch when its outputs are kept.

  Raises:
    ValueError: a model gave what is not finite; what was decoded before is
      kept.
  """
  chains = collections.defaultdict(list)
  for batch in to_decode:
    chains[batch.program].append(batch)
  told, stop, torn = queue.SimpleQueue(), threading.Event(), threading.Event()

  def run(chain, scorer):
    scored = scorer.submit(int)  # Nothing.
    for batch in chain:
      if stop.is_set():
        break
      result = jax.device_get(
        batches.decode(
          workload, _prompts(workload, batch), batch.settings, batch.job.plan
        )
      )
      scored.result()
      scored = scorer.submit(keep, batch, result)
    scored.result()

  def keep(batch, result):
    if torn.is_set():  # Nothing may follow a line that was written in part.
      return
    try:
      _keep(workload, batch, result, logs, done)
    except BaseException:
      torn.set()
      raise
    told.put(batch)

  with (
    futures.ThreadPoolExecutor(1) as scorer,
    futures.ThreadPoolExecutor(hosts.threads(_SIDE_BY_SIDE)) as pool,
  ):
    try:
      for chain in sorted(chains.values(), key=len, reverse=True):
        running = pool.submit(run, chain, scorer)
        running.add_done_callback(lambda own: told.put(own.exception()))
      left = len(chains)
      while left:
        news = told.get()
        if isinstance(news, Batch):
          yield news
        elif news is not None:
          raise news
        else:
          left -= 1
    finally:
      stop.set()  # Each chain ends with the batch that it is at.


def start(
  workload: batches.Workload, batch: Batch, iterations: int
) -> results.Result:
  """Decodes the first iterations of a batch that drafts; keeps nothing."""
  return batches.start(
    workload,
    _prompts(workload, batch),
    batch.settings,
    batch.job.plan,
    iterations,
  )


def _prompts(workload, batch):
  copies = len(batch.settings)
  return batches.prompts(workload, batch.index_P, copies, batch.width)


def _keep(workload, batch, result, logs, done):
  """Scores the outputs of a batch and writes their lines."""
  rows = {
    s * len(batch.index_P) + i: (setting, example)
    for s, setting in enumerate(batch.settings)
    for i, example in enumerate(batch.index_P[: batch.count].tolist())
    if batch.job.key(setting, example) not in done
  }
  told = []
  if batch.job.keeps != 'counts':
    of_rows = {row: example for row, (_, example) in rows.items()}
    told.append(outputs.texts(workload, result, of_rows))
  if batch.job.keeps != 'text' and result.counts is not None:
    told.append(outputs.counts(result, rows))
  made = collections.defaultdict(list)
  for n, (setting, example) in enumerate(rows.values()):
    line = {'id': batch.job.id(setting), 'example': example}
    line |= {'costs': batch.job.costs} if batch.job.costs else {}
    for own in told:
      line |= own[n]
    made[setting.method].append(line)
  for method, own in made.items():
    logs[method].append(own)


def collect(
  jobs: Sequence[Job],
  done: Mapping[outputs.Key, dict[str, Any]],
  num_examples: int,
) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
  """The outputs of all jobs, which are all there, in the examples' order.

  Args:
    jobs: Jobs.
    done: {Key: line}.
    num_examples: E.

  Returns:
    {`text_id` of a point: lines with its text}, and {id of a point: lines with
    its counts}, where they are not to be replayed.
  """
  texts, counted = {}, {}
  for job in jobs:
    for setting in job.settings:
      own = [done[job.key(setting, e)] for e in range(num_examples)]
      if job.keeps != 'counts':
        texts[setting.text_id(job.plan)] = own
      if job.keeps != 'text':
        counted[setting.id(job.plan)] = own
  return texts, counted
