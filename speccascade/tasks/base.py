"""The form of a task, and a task made of a source of examples and a metric."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from speccascade.tasks import metrics
from speccascade.tasks.example import Example


class Task(Protocol):
  """Gives prompts and scores outputs.

  A task is hashable, and it is pickled to the processes that tokenise.

  Attributes:
    name: its name in TASKS and in records.
    metric: one of `metrics.METRICS`.
    max_new_tokens: the most tokens decoded for an example.
  """

  name: str
  metric: str
  max_new_tokens: int

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError if there is no such example."""

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split."""

  def score(self, output: str, reference: metrics.Reference) -> float:
    """Returns the score of one output, from 0 to 1."""

  def statistics(
    self, output: str, reference: metrics.Reference
  ) -> list[float]:
    """Returns the metric's statistics of one output."""

  def quality(
    self, outputs: Sequence[str], references: Sequence[metrics.Reference]
  ) -> float:
    """Returns the metric of N outputs."""


class Source(Protocol):
  """Holds or generates examples; hashable and picklable, as a task is."""

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError if there is no such example."""


def whole(output: str) -> str:
  """Returns the output: all of it is scored."""
  return output


@dataclasses.dataclass(frozen=True)
class SourceTask:
  """A task of a source's examples, scored by a metric.

  Attributes:
    name: its name in TASKS and in records.
    metric: one of `metrics.METRICS`.
    max_new_tokens: the most tokens decoded for an example.
    source: gives the examples.
    extract: returns the part of an output that is scored; a function of a
      module, so that the task can be pickled.
  """

  name: str
  metric: str
  max_new_tokens: int
  source: Source
  extract: Callable[[str], str] = whole

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError if there is no such example."""
    return self.source.example(split, index)

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split.

    Raises:
      ValueError: the split has fewer, which is told before any is read.
    """
    if not count:
      return []
    last = self.example(split, count - 1)
    return [*(self.example(split, i) for i in range(count - 1)), last]

  def score(self, output: str, reference: metrics.Reference) -> float:
    """Returns the score of one output, from 0 to 1."""
    return metrics.get(self.metric).score(self.extract(output), reference)

  def statistics(
    self, output: str, reference: metrics.Reference
  ) -> list[float]:
    """Returns the metric's statistics of one output."""
    return metrics.get(self.metric).statistics(self.extract(output), reference)

  def quality(
    self, outputs: Sequence[str], references: Sequence[metrics.Reference]
  ) -> float:
    """Returns the metric of N outputs.

    Args:
      outputs: N texts.
      references: `Example.reference` of each.

    Raises:
      ValueError: if N is 0, or the numbers of both differ.
    """
    if not outputs or len(outputs) != len(references):
      raise ValueError(
        'quality needs at least one output and one reference for each, got '
        f'{len(outputs)} outputs and {len(references)} references'
      )
    statistics_NxK = list(map(self.statistics, outputs, references))
    return metrics.quality(self.metric, statistics_NxK)
