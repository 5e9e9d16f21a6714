"""XSum: summaries of one sentence, scored by ROUGE-2.

Sources: Narayan et al. 2018, arXiv 1808.08745; Lin 2004 for the metric, as the
rouge-score library computes it, without stemming.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import Protocol

from etils import epath
from rouge_score import rouge_scorer

from speccascade import scoring
from speccascade.tasks import example as example_lib
from speccascade.tasks.example import Example


class Source(Protocol):
  """Where documents come from. Hashable, so that a task is."""

  def document(
    self, split: str, index: int
  ) -> tuple[str, str, tuple[str, ...]]:
    """Returns a document, its summary and all references."""


@dataclasses.dataclass(frozen=True)
class Jsonl:
  """Official XSum files: `{path}/{split}.jsonl` of document and summary."""

  path: str

  def document(
    self, split: str, index: int
  ) -> tuple[str, str, tuple[str, ...]]:
    """Returns line `index` of the split's file."""
    file = epath.Path(self.path) / f'{split}.jsonl'
    rows = _read(file)
    if not 0 <= index < len(rows):
      raise ValueError(
        f'{file} has {len(rows)} documents; there is no document {index}.'
      )
    document, summary = rows[index]
    return document, summary, (summary,)


@functools.cache
def _read(file: epath.Path) -> list[tuple[str, str]]:
  if not file.exists():
    raise ValueError(f'No XSum file at {file}; path is the folder it is in.')
  rows = []
  lines = file.read_bytes().removesuffix(b'\n').split(b'\n')
  for number, line in enumerate(lines, 1):
    where = f'{file}, line {number}'
    try:
      row = json.loads(line)
    except ValueError as error:
      raise ValueError(f'{where} is torn or no JSON: {error}.') from None
    if not isinstance(row, dict) or not {'document', 'summary'} <= row.keys():
      raise ValueError(f"{where} must have the keys 'document' and 'summary'.")
    pair = row['document'], row['summary']
    if not all(isinstance(text, str) and text.strip() for text in pair):
      raise ValueError(f'{where}: document and summary must be texts.')
    rows.append(pair)
  return rows


@functools.cache
def _scorer() -> rouge_scorer.RougeScorer:
  return rouge_scorer.RougeScorer(['rouge2'], use_stemmer=False)


@dataclasses.dataclass(frozen=True)
class Summarization:
  """Documents to sum up in a sentence, scored by the F1 of ROUGE-2.

  Attributes:
    source: where the documents come from.
    name: the task's name in records.
    max_new_tokens: the longest summary decoded.
    metric: what `quality` measures.
  """

  source: Source
  name: str = 'xsum'
  max_new_tokens: int = 64
  metric: str = 'rouge2'

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError where the source has none."""
    document, summary, references = self.source.document(split, index)
    return Example(
      id=index, prompt=document, target=summary, reference=references
    )

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split."""
    return [self.example(split, index) for index in range(count)]

  def score(self, output_text: str, reference: tuple[str, ...]) -> float:
    """Returns the F1 of ROUGE-2, from 0 to 1, with the nearest reference."""
    scores = _scorer().score_multi(reference, output_text)
    return float(scores['rouge2'].fmeasure)

  def statistics(
    self, output_text: str, reference: tuple[str, ...]
  ) -> list[float]:
    """Returns what `quality` sums over the outputs."""
    return scoring.of_score(self.score(output_text, reference))

  def quality(
    self, outputs: Sequence[str], references: Sequence[tuple[str, ...]]
  ) -> float:
    """Returns the mean score of N outputs; raises ValueError if N is 0."""
    return example_lib.quality(self, outputs, references)


def task(path: str) -> Summarization:
  """Official XSum, read from the folder of `{split}.jsonl`."""
  return Summarization(source=Jsonl(path))
