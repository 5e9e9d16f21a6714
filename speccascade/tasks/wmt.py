"""WMT: English to German, scored by BLEU.

Source of the metric: Post 2018, arXiv 1804.08771 (sacrebleu).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

import sacrebleu
from etils import epath

from speccascade import scoring
from speccascade.tasks import example as example_lib
from speccascade.tasks.example import Example


class Source(Protocol):
  """Where sentences come from. Hashable, so that a task is."""

  def pair(self, split: str, index: int) -> tuple[str, str, tuple[str, ...]]:
    """Returns an English sentence, its translation and all references."""


@dataclasses.dataclass(frozen=True)
class Lines:
  """Official WMT files, aligned line by line: `{path}/{split}.en` and `.de`."""

  path: str

  def pair(self, split: str, index: int) -> tuple[str, str, tuple[str, ...]]:
    """Returns line `index` of the split's files."""
    folder = epath.Path(self.path)
    english = _read(folder / f'{split}.en')
    german = _read(folder / f'{split}.de')
    if len(english) != len(german):
      raise ValueError(
        f'{folder / split}: .en has {len(english)} lines and .de '
        f'{len(german)}; line i of one must translate line i of the other.'
      )
    if not 0 <= index < len(english):
      raise ValueError(
        f'{folder / split}.en has {len(english)} sentences; there is no '
        f'sentence {index}.'
      )
    return english[index], german[index], (german[index],)


@functools.cache
def _read(file: epath.Path) -> list[str]:
  if not file.exists():
    raise ValueError(f'No WMT file at {file}; path is the folder it is in.')
  sentences = []
  # Other line ends, as U+2028, belong to sentences.
  lines = file.read_bytes().removesuffix(b'\n').split(b'\n')
  for number, line in enumerate(lines, 1):
    try:
      sentence = line.decode()
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{file}, line {number} is torn or no UTF-8: {error}.'
      ) from None
    if not sentence.strip():
      raise ValueError(
        f'{file}, line {number} is empty; leave its pair out of both files.'
      )
    sentences.append(sentence)
  return sentences


@dataclasses.dataclass(frozen=True)
class Translation:
  """Sentences to translate, scored by BLEU.

  Attributes:
    source: where the sentences come from.
    name: the task's name in records.
    max_new_tokens: the longest translation decoded.
    metric: what `quality` measures.
  """

  source: Source
  name: str = 'wmt'
  max_new_tokens: int = 80
  metric: str = 'bleu'

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError where the source has none."""
    english, german, references = self.source.pair(split, index)
    return Example(
      id=index, prompt=english, target=german, reference=references
    )

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split."""
    return [self.example(split, index) for index in range(count)]

  def score(self, output_text: str, reference: tuple[str, ...]) -> float:
    """Returns the sentence's BLEU, from 0 to 1; not what `quality` averages."""
    return sacrebleu.sentence_bleu(output_text, reference).score / 100

  def statistics(
    self, output_text: str, reference: tuple[str, ...]
  ) -> list[float]:
    """Returns what `quality` sums over the outputs."""
    return scoring.of_bleu(output_text, reference)

  def quality(
    self, outputs: Sequence[str], references: Sequence[tuple[str, ...]]
  ) -> float:
    """Returns the BLEU of the corpus, from 0 to 100.

    Args:
      outputs: N translations.
      references: the references of each, as many as it has.

    Raises:
      ValueError: if N is 0, or not the same for both.
    """
    return example_lib.quality(self, outputs, references)


def task(path: str) -> Translation:
  """Official WMT, read from the folder of `{split}.en` and `{split}.de`."""
  return Translation(source=Lines(path))
