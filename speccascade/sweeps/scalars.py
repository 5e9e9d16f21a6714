"""TensorBoard scalars of a sweep: how the numbers of each point settle.

A tag is `<number>/<id of a point>`, a step the examples that are done. Outputs
tell the points that are decoded, of which other draft plans are replays;
records tell all, once they are timed. A run that has something to add tells all
again, so that a kill neither loses nor doubles any.

Letters: K statistics of a metric.
"""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from speccascade.decoding import replay, schedules
from speccascade.runs import events
from speccascade.sweeps import jobs as jobs_lib
from speccascade.sweeps import outputs
from speccascade.tasks import metrics

_STEPS = 20  # Of each point, while its examples are decoded.


class Scalars:
  """Tells the scalars of a sweep."""

  def __init__(
    self,
    workdir: epath.PathLike,
    metric: str,
    jobs: Sequence[jobs_lib.Job],
    num_examples: int,
  ):
    """Writes nothing yet.

    Args:
      workdir: of the sweep.
      metric: the task's.
      jobs: all Jobs of the sweep.
      num_examples: of each point.
    """
    self._num_examples = num_examples
    every = max(1, num_examples // _STEPS)
    self._steps = {*range(every, num_examples, every), num_examples}
    self._sums = {
      (job.id(setting), job.costs): _Sums(
        setting.id(job.plan), job.plan, metrics.get(metric)
      )
      for job in jobs
      if job.keeps != 'counts'
      for setting in job.settings
    }
    self._told = set()  # Keys.
    self._last = {}  # {tag: its last step}
    self._workdir, self._events = workdir, None
    self._waiting = []  # (step, {tag: value})

  def add_outputs(
    self,
    done: Mapping[outputs.Key, Mapping[str, Any]],
    keys: Iterable[outputs.Key],
  ) -> None:
    """Tells of lines that it has not told of.

    Args:
      done: {key: line}.
      keys: of lines in it.
    """
    for key in keys:
      name, example, costs = key
      sums = self._sums.get((name, costs))
      if sums is None or example >= self._num_examples or key in self._told:
        continue
      self._told.add(key)
      sums.add(done[key])
      if sums.examples in self._steps:
        self._tell(sums.point, sums.examples, sums.values())

  def add_records(self, records: Iterable[Mapping[str, Any]]) -> None:
    """Tells of records."""
    for record in records:
      self._tell(record['id'], record['num_examples'], _of_record(record))

  def flush(self) -> None:
    """Writes what was told; at first it replaces the file of events."""
    if self._events is None:
      self._events = events.anew(self._workdir)
    for step, values in self._waiting:
      self._events.write(step, values)
    self._waiting.clear()
    self._events.flush()

  def __enter__(self):
    return self

  def __exit__(self, *error):
    if self._events is not None:
      self._events.close()

  def _tell(self, point, step, values):
    tags = {f'{name}/{point}': value for name, value in values.items()}
    new = {t: x for t, x in tags.items() if step > self._last.get(t, 0)}
    self._waiting.append((step, new))
    self._last |= dict.fromkeys(new, step)


@dataclasses.dataclass
class _Sums:
  """Of the outputs of a point."""

  point: str
  plan: schedules.Plan | None
  metric: metrics.Metric
  statistics_K: np.ndarray | float = 0.0
  examples: int = 0
  tokens: int = 0
  accepted: int = 0
  drafted: int = 0
  calls: int = 0

  def add(self, line):
    self.statistics_K = self.statistics_K + np.array(line['statistics'])
    self.examples += 1
    self.tokens += line['tokens']
    if 'from_drafter' not in line:
      return
    self.accepted += line['from_drafter'].count('1')
    if 'verifier_calls' in line:
      self.calls += line['verifier_calls']
      self.drafted += line['drafter_steps']
      return
    kept = [x == '1' for x in line['from_drafter']]
    calls = int(replay.accepted_lengths(kept, self.plan.gamma).sum())
    self.calls += calls
    self.drafted += calls * (self.plan.gamma + 1)

  def values(self):
    quality = self.metric.value(self.statistics_K)
    lengths = {'quality': quality, 'output_length': self.tokens / self.examples}
    return lengths | _rates(
      self.tokens, self.accepted, self.drafted, self.calls
    )


def _of_record(record):
  counts = record['counts']
  found = {k: record[k] for k in ('quality', 'output_length')}
  found |= _rates(
    *(counts[k] for k in ('tokens', 'accepted', 'drafted', 'verifier_calls'))
  )
  if record['timed_tokens'] is not None:  # At batch 1, of one trial.
    seconds = statistics.mean(record['seconds'])
    found['tokens_per_second'] = sum(record['timed_tokens']) / seconds
  return found


def _rates(tokens, accepted, drafted, calls):
  """What drafting was worth; nothing of a model alone."""
  if not drafted:
    return {}
  found = {'acceptance_rate': accepted / drafted}
  return found | ({'block_efficiency': tokens / calls} if calls else {})
