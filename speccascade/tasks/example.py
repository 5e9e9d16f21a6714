"""What a task hands to a model, and what it scores the answer against."""

import dataclasses
from collections.abc import Sequence

from speccascade import scoring


@dataclasses.dataclass(frozen=True)
class Example:
  """One prompt of a task.

  Attributes:
    id: the example's index in its split.
    prompt: the text that is tokenised and fed.
    target: the text to learn after the prompt.
    reference: what the task's `score` and `quality` compare an output with;
      several where several answers are right.
  """

  id: int
  prompt: str
  target: str
  reference: str | tuple[str, ...]


def check_paired(outputs: Sequence, references: Sequence) -> None:
  """Raises ValueError if there is no output, or not a reference for each."""
  if not outputs or len(outputs) != len(references):
    raise ValueError(
      f'{len(outputs)} outputs, {len(references)} references: quality takes as '
      'many of both, at least one.'
    )


def quality(task, outputs: Sequence[str], references: Sequence) -> float:
  """Returns a task's metric over a corpus of outputs.

  Args:
    task: has `metric` and `statistics`.
    outputs: N texts.
    references: `Example.reference` of each.

  Raises:
    ValueError: if N is 0, or not the same for both.
  """
  check_paired(outputs, references)
  return scoring.quality(
    task.metric, list(map(task.statistics, outputs, references))
  )
