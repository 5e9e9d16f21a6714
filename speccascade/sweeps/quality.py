"""Decodes what a sweep lacks, and keeps it.

All is decoded in slots, a run of all that is missing. What lies in `outputs` is
not decoded again.

Letters: E examples.
"""

import collections
import dataclasses
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

from speccascade import hosts
from speccascade.decoding import results
from speccascade.runs import workers
from speccascade.storage import lines
from speccascade.sweeps import batches, outputs, served, whole
from speccascade.sweeps import jobs as jobs_lib

_SIDE_BY_SIDE = min(4, workers.cores())  # Programs at a time, on a CPU.


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
  def programs(self) -> set[Hashable]:
    """See `served.program`, and `whole.programs`."""
    how = self.rows, self.width
    if self.job.whole:
      return whole.programs(self.items, *how)
    return {served.program(self.items, self.job.plan, *how)}


class Kept(NamedTuple):
  """Lines that were written: their job and their keys."""

  job: jobs_lib.Job
  keys: list[outputs.Key]


def missing(
  workload: batches.Workload,
  jobs: Sequence[jobs_lib.Job],
  batch_size: int,
  done: Collection[outputs.Key],
) -> list[Run]:
  """The runs that make all outputs that are not done yet, and no other.

  Args:
    workload: Workload.
    jobs: Jobs.
    batch_size: most slots.
    done: the outputs that are there.
  """
  E, found = len(workload.examples), []
  length_E = None  # The longest come first, lest one is left at the end.
  for job in jobs:
    lacking = _lacking(job, E, done)
    if not lacking:
      continue
    length_E = length_E or _target_lengths(workload)
    lacking.sort(key=lambda item: (-length_E[item[1]], item[1]))
    for width, rows, own in served.parts(workload, lacking, batch_size):
      found.append(Run(job, tuple(own), rows, width))
  return found


def _lacking(job, E, done):
  return [
    (s, e) for s in job.settings for e in range(E) if job.key(s, e) not in done
  ]


def _target_lengths(workload):
  encode = workload.pair.tokenizer.encode
  return [len(encode(example.target)) for example in workload.examples]


def decode(
  workload: batches.Workload,
  to_decode: Sequence[Run],
  logs: Mapping[str, lines.Log],
  done: Collection[outputs.Key],
) -> Iterator[Kept]:
  """Decodes runs and keeps their outputs, which are slow to score.

  Programs run side by side on a CPU, so that one compiles while another
  decodes; what has ended is scored while the rest is decoded.

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
    Exception: what decoding or keeping raised first, at once. Programs that
      are compiled or run go on meanwhile; nothing of them is kept.
  """
  chains = _chains(to_decode)
  told, stop, torn = queue.SimpleQueue(), threading.Event(), threading.Event()

  def run(chain):
    try:
      follow(chain)
    except BaseException as error:
      stop.set()  # Before this thread takes another chain.
      told.put(error)
    else:
      told.put(None)

  def follow(chain):
    scored = scorer.submit(int)  # Nothing.
    for unit in chain:
      if stop.is_set():
        return
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
    except BaseException as error:
      torn.set()
      stop.set()
      told.put(error)
      raise

  scorer = futures.ThreadPoolExecutor(1)
  pool = futures.ThreadPoolExecutor(hosts.threads(_SIDE_BY_SIDE))
  try:
    for chain in sorted(chains, key=_size, reverse=True):
      pool.submit(run, chain)
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
    # Each chain ends with what it is at. Nobody waits for that: it may itself
    # wait for a process of the job that has failed.
    stop.set()
    pool.shutdown(wait=False, cancel_futures=True)
    scorer.shutdown()  # What it keeps is whole.


def _chains(runs):
  """Runs that share programs, one after another: the first compiles them."""
  chains = []
  for run in runs:
    programs, own = run.programs, [run]
    for chain in [chain for chain in chains if chain[0] & programs]:
      chains.remove(chain)
      programs, own = programs | chain[0], chain[1] + own
    chains.append((programs, own))
  return [own for _, own in chains]


def _size(chain):
  return sum(len(unit.items) for unit in chain)


def _results(workload, run):
  """Yields (items, None of a row that does not count; Result of a row each)."""
  how = run.rows, run.width
  if run.job.whole:
    return whole.decode(workload, run.items, *how)
  return served.decode(workload, run.items, run.job.plan, *how)


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
