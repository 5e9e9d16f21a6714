"""The form of a task, and a task made of a source of examples and a metric."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from speccascade.tasks import metrics
from speccascade.tasks.example import Example

Score = Callable[[str, metrics.Reference], float]


class Judged(NamedTuple):
  """What an output is worth.

  Attributes:
    score: of the task's metric, from 0 to 1.
    statistics: of the task's metric, which add up over outputs.
    more: {name: score} of others that are told beside it.
  """

  score: float
  statistics: list[float]
  more: Mapping[str, float]


class Task(Protocol):
  """Gives prompts and scores outputs.

  A task is hashable, and it is pickled to the processes that tokenise.

  Attributes:
    name: its name in TASKS and in records.
    metric: one of `metrics.METRICS`.
    max_new_tokens: the most tokens decoded for an example.
    stop: strings that an answer ends before.
    nothing: what `extract` returns where it finds no answer; None where all
      that it returns are answers.
    chat: whether a prompt is what a user says, to be put into the chat template
      of the tokenizer; None is if there is one.
    max_input_tokens: the most of a prompt, to which its document is cut; None
      cuts none.
  """

  name: str
  metric: str
  max_new_tokens: int
  stop: tuple[str, ...]
  nothing: str | None
  chat: bool | None
  max_input_tokens: int | None

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError if there is no such example."""

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split."""

  def settings(self) -> dict[str, Any]:
    """Returns all that decides prompts and answers, as JSON holds it."""

  def extract(self, output: str) -> str:
    """Returns the part of an output that is scored."""

  def judge(
    self, outputs: Sequence[str], references: Sequence[metrics.Reference]
  ) -> list[Judged]:
    """Returns what each of N outputs is worth."""

  def score(self, output: str, reference: metrics.Reference) -> float:
    """Returns the score of one output, from 0 to 1."""

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
    name: see `Task`, as of all but what follows.
    metric: likewise.
    max_new_tokens: likewise.
    source: gives the examples.
    extract: returns the part of an output that is scored; a function of a
      module, so that the task can be pickled.
    stop: see `Task`.
    chat: likewise.
    others: names and functions of the scores that are told beside the metric:
      of an output and its reference.
    max_input_tokens: see `Task`.
    nothing: likewise.
  """

  name: str
  metric: str
  max_new_tokens: int
  source: Source
  extract: Callable[[str], str] = whole
  stop: tuple[str, ...] = ()
  chat: bool | None = False
  others: tuple[tuple[str, Score], ...] = ()
  max_input_tokens: int | None = None
  nothing: str | None = None

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

  def settings(self) -> dict[str, Any]:
    """Returns all that decides prompts and answers, as JSON holds it."""
    form = getattr(self.source, 'form', None)  # Of a benchmark.
    own = {} if form is None else dataclasses.asdict(form)
    own |= {
      'stop': list(self.stop),
      'max_new_tokens': self.max_new_tokens,
      'max_input_tokens': self.max_input_tokens,
    }
    return own

  def judge(
    self, outputs: Sequence[str], references: Sequence[metrics.Reference]
  ) -> list[Judged]:
    """Returns what each of N outputs is worth."""
    metric, found = metrics.get(self.metric), []
    for output, reference in zip(outputs, references, strict=True):
      statistics = metric.statistics(self.extract(output), reference)
      more = {name: score(output, reference) for name, score in self.others}
      found.append(Judged(metric.of_one(statistics), statistics, more))
    return found

  def score(self, output: str, reference: metrics.Reference) -> float:
    """Returns the score of one output, from 0 to 1."""
    (judged,) = self.judge([output], [reference])
    return judged.score

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
    judged = self.judge(outputs, references)
    return metrics.quality(self.metric, [x.statistics for x in judged])
