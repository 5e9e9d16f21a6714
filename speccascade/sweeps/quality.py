"""Decodes what a sweep lacks, and keeps it.

Methods that draft, and models alone, are decoded in slots, a run of all that is
missing; the others in batches. What lies in `outputs` is not decoded again.

Letters: E examples, P prompts of a batch, B rows.
"""

import collections
import dataclasses
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
from typing import NamedTuple

import jax
import numpy as np

from speccascade import hosts
from speccascade.decoding import results
from speccascade.storage import lines
from speccascade.sweeps import batches, outputs, served
from speccascade.sweeps import jobs as jobs_lib
from speccascade.sweeps import points as points_lib

# Programs at a time. Each holds the buffers of a batch while it decodes.
_SIDE_BY_SIDE = min(4, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Batch:
  """Prompts that are decoded at once, each under every setting.

  Attributes:
    job: jobs_lib.Job.
    settings: of it.
    index_P: examples.
    count: how many of them count; the others fill the batch up.
    width: that the prompts are padded to.
  """

  job: jobs_lib.Job
  settings: tuple[points_lib.Setting, ...]
  index_P: np.ndarray
  count: int
  width: int

  @property
  def items(self) -> list[served.Item]:
    """What its lines are of."""
    index = self.index_P[: self.count].tolist()
    return [(s, example) for s in self.settings for example in index]

  @property
  def program(self) -> Hashable:
    """See `batches.program`."""
    return batches.program(
      self.settings, self.job.plan, len(self.index_P), self.width
    )


@dataclasses.dataclass(frozen=True)
class Run:
  """Answers that are decoded in slots.

  Attributes:
    job: jobs_lib.Job.
    items: what it writes.
    rows: most slots.
    width: that the prompts are padded to.
  """

  job: jobs_lib.Job
  items: tuple[served.Item, ...]
  rows: int
  width: int

  @property
  def program(self) -> Hashable:
    """See `served.program`."""
    return served.program(self.items, self.job.plan, self.rows, self.width)


class Kept(NamedTuple):
  """Lines that were written: their job and their keys."""

  job: jobs_lib.Job
  keys: list[outputs.Key]


def missing(
  workload: batches.Workload,
  jobs: Sequence[jobs_lib.Job],
  batch_size: int,
  done: Collection[outputs.Key],
) -> list[Batch | Run]:
  """The runs and batches that make all outputs that are not done yet.

  Examples that lack the same settings share batches. So a sweep that was killed
  goes on with the batches, and the programs, that it would have had; and one
  that has grown decodes old examples under new settings only.

  Args:
    workload: Workload.
    jobs: Jobs.
    batch_size: rows decoded at a time, settings times prompts.
    done: the outputs that are there.
  """
  E, found = len(workload.examples), []
  # Answers of a length share a batch, which lasts as long as its longest; in
  # slots the longest come first, lest one is left at the end.
  length_E = None
  for job in jobs:
    lacking = _lacking_items(job, E, done)
    if not lacking:
      continue
    length_E = length_E or _target_lengths(workload)
    if job.served:
      lacking.sort(key=lambda item: (-length_E[item[1]], item[1]))
      for width, rows, own in served.parts(workload, lacking, batch_size):
        found.append(Run(job, tuple(own), rows, width))
      continue
    for settings, examples in _lacking(job, E, batch_size, done):
      index_E = sorted(examples, key=lambda e: (length_E[e], e))
      size = min(max(1, batch_size // len(settings)), E)
      for own in batches.by_width(workload, index_E, size):
        found.append(Batch(job, settings, *own))
  return found


def _lacking_items(job, E, done):
  return [
    (s, e) for s in job.settings for e in range(E) if job.key(s, e) not in done
  ]


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
  to_decode: Sequence[Batch | Run],
  logs: Mapping[str, lines.Log],
  done: Collection[outputs.Key],
) -> Iterator[Kept]:
  """Decodes runs and batches and keeps their outputs, which are slow to score.

  Programs run side by side, so that one compiles while another decodes; what
  has ended is scored while the rest is decoded.

  Args:
    workload: Workload.
    to_decode: of `missing`.
    logs: {method: Log} of `outputs.read`.
    done: the outputs that are there, which are not kept again.

  Yields:
    Kept, once the lines are.

  Raises:
    ValueError: a model gave what is not finite; what was decoded before is
      kept.
  """
  chains = collections.defaultdict(list)
  for unit in to_decode:
    chains[unit.program].append(unit)
  told, stop, torn = queue.SimpleQueue(), threading.Event(), threading.Event()

  def run(chain, scorer):
    scored = scorer.submit(int)  # Nothing.
    for unit in chain:
      for items, result in _results(workload, unit):
        scored.result()
        if stop.is_set():
          return
        scored = scorer.submit(keep, unit.job, items, result)
    scored.result()

  def keep(job, items, result):
    if torn.is_set():  # Nothing may follow a line that was written in part.
      return
    try:
      told.put(Kept(job, _keep(workload, job, items, result, logs, done)))
    except BaseException:
      torn.set()
      raise

  with (
    futures.ThreadPoolExecutor(1) as scorer,
    futures.ThreadPoolExecutor(hosts.threads(_SIDE_BY_SIDE)) as pool,
  ):
    try:
      for chain in sorted(chains.values(), key=_size, reverse=True):
        running = pool.submit(run, chain, scorer)
        running.add_done_callback(lambda own: told.put(own.exception()))
      left = len(chains)
      while left:
        news = told.get()
        if isinstance(news, Kept):
          yield news
        elif news is not None:
          raise news
        else:
          left -= 1
    finally:
      stop.set()  # Each chain ends with what it is at.


def _size(chain):
  return sum(len(unit.items) for unit in chain)


def _results(workload, unit):
  """Yields (items, None where a row does not count; Result of these rows)."""
  if isinstance(unit, Run):
    yield from served.decode(
      workload, unit.items, unit.job.plan, unit.rows, unit.width
    )
    return
  prompts = batches.prompts(
    workload, unit.index_P, len(unit.settings), unit.width
  )
  result = batches.decode(workload, prompts, unit.settings, unit.job.plan)
  spare = [None] * (len(unit.index_P) - unit.count)
  index = unit.index_P[: unit.count].tolist()
  rows = [
    item
    for s in unit.settings
    for item in (*((s, example) for example in index), *spare)
  ]
  yield rows, jax.device_get(result)


def start(
  workload: batches.Workload, run: Run, iterations: int
) -> results.Result:
  """Decodes the first turns of a run that drafts; keeps nothing."""
  return served.start(
    workload, run.items, run.job.plan, run.rows, run.width, iterations
  )


def _keep(workload, job, items, result, logs, done):
  """Scores the outputs of rows and writes their lines; returns their keys."""
  rows = {
    row: item
    for row, item in enumerate(items)
    if item is not None and job.key(*item) not in done
  }
  told = []
  if job.keeps != 'counts':
    of_rows = {row: example for row, (_, example) in rows.items()}
    told.append(outputs.texts(workload, result, of_rows))
  if job.keeps != 'text' and result.counts is not None:
    told.append(outputs.counts(result, rows))
  made = collections.defaultdict(list)
  for n, (setting, example) in enumerate(rows.values()):
    line = {'id': job.id(setting), 'example': example}
    line |= {'costs': job.costs} if job.costs else {}
    for own in told:
      line |= own[n]
    made[setting.method].append(line)
  for method, own in made.items():
    logs[method].append(own)
  return [job.key(*item) for item in rows.values()]
