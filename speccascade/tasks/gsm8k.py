"""GSM8K: grade-school math, scored on the number after the last line's ####.

Source: Cobbe et al. 2021, arXiv 2110.14168. `extract_answer` is the authors'.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from typing import Protocol

from etils import epath

from speccascade import scoring
from speccascade.tasks import example as example_lib
from speccascade.tasks.example import Example

INVALID = '[invalid]'
_ANSWER = re.compile(r'#### (\-?[0-9\.\,]+)')
_CALCULATION = re.compile(r'<<.*?>>')


class Source(Protocol):
  """Where problems come from. Hashable, so that a task is."""

  def problem(self, split: str, index: int) -> tuple[str, str]:
    """Returns a question and its worked solution ending in '#### answer'."""


@dataclasses.dataclass(frozen=True)
class Jsonl:
  """Official GSM8K files: `{path}/{split}.jsonl`.

  The calculator's annotations, `<<16-3=13>>`, are left out of solutions.
  """

  path: str

  def problem(self, split: str, index: int) -> tuple[str, str]:
    """Returns line `index` of the split's file."""
    file = epath.Path(self.path) / f'{split}.jsonl'
    problems = _read(file)
    if not 0 <= index < len(problems):
      raise ValueError(
        f'{file} has {len(problems)} problems; there is no problem {index}.'
      )
    return problems[index]


@functools.cache
def _read(file: epath.Path) -> list[tuple[str, str]]:
  if not file.exists():
    raise ValueError(f'No GSM8K file at {file}; path is the folder it is in.')
  problems = []
  lines = file.read_bytes().removesuffix(b'\n').split(b'\n')
  for number, line in enumerate(lines, 1):
    where = f'{file}, line {number}'
    try:
      row = json.loads(line)
    except ValueError as error:
      raise ValueError(f'{where} is torn or no JSON: {error}.') from None
    if not isinstance(row, dict) or not {'question', 'answer'} <= row.keys():
      raise ValueError(f"{where} must have the keys 'question' and 'answer'.")
    if not all(isinstance(row[key], str) for key in ('question', 'answer')):
      raise ValueError(f'{where}: question and answer must be texts.')
    answer = _CALCULATION.sub('', row['answer'])
    if extract_answer(answer) == INVALID:
      raise ValueError(f"{where}: the answer has no '#### number'.")
    problems.append((row['question'], answer))
  return problems


def extract_answer(text: str) -> str:
  """Returns the first number after '####', commas dropped, or `INVALID`."""
  match = _ANSWER.search(text)
  return match.group(1).strip().replace(',', '') if match else INVALID


@dataclasses.dataclass(frozen=True)
class Gsm8k:
  """Problems in GSM8K's format, scored by exact match of the answer.

  Attributes:
    source: where the problems come from.
    name: the task's name in records.
    max_new_tokens: the longest answer decoded.
    metric: what `quality` measures.
  """

  source: Source
  name: str = 'gsm8k'
  max_new_tokens: int = 512
  metric: str = 'exact_match'

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError where the source has none."""
    question, solution = self.source.problem(split, index)
    return Example(
      id=index,
      prompt=f'{question}\n',
      target=solution,
      reference=extract_answer(solution),
    )

  def examples(self, split: str, count: int) -> list[Example]:
    """Returns the first `count` examples of a split."""
    return [self.example(split, index) for index in range(count)]

  def score(self, output_text: str, reference: str) -> float:
    """Returns 1.0 if the output's answer is the reference, else 0.0."""
    return float(extract_answer(output_text) == reference)

  def statistics(self, output_text: str, reference: str) -> list[float]:
    """Returns what `quality` sums over the outputs."""
    return scoring.of_score(self.score(output_text, reference))

  def quality(self, outputs: Sequence[str], references: Sequence[str]) -> float:
    """Returns the mean score of N outputs; raises ValueError if N is 0."""
    return example_lib.quality(self, outputs, references)


def task(path: str) -> Gsm8k:
  """Official GSM8K, read from the folder of `train.jsonl` and `test.jsonl`."""
  return Gsm8k(source=Jsonl(path))
