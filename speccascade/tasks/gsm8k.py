"""GSM8K: grade-school math, scored on the number after '####'.

Source: Cobbe et al. 2021, arXiv 2110.14168. `extract_answer` is the authors'.
"""

import dataclasses
import functools
import re

from etils import epath

from speccascade.tasks import base, files
from speccascade.tasks.example import Example

INVALID = '[invalid]'
_ANSWER = re.compile(r'#### (\-?[0-9\.\,]+)')
_CALCULATION = re.compile(r'<<.*?>>')


def extract_answer(text: str) -> str:
  """Returns the first number after '####' without commas, or INVALID."""
  match = _ANSWER.search(text)
  return match.group(1).strip().replace(',', '') if match else INVALID


def make_example(index: int, question: str, solution: str) -> Example:
  """Returns an example in GSM8K's format; the solution ends in '#### 5'."""
  return Example(
    id=index,
    prompt=f'{question}\n',
    target=solution,
    reference=extract_answer(solution),
  )


@functools.cache
def _problems(file: epath.Path) -> list[tuple[str, str]]:
  problems = []
  for where, (question, answer) in files.jsonl(file, ('question', 'answer')):
    answer = _CALCULATION.sub('', answer)
    if extract_answer(answer) == INVALID:
      raise ValueError(f"{where}: the answer has no '#### number'")
    problems.append((question, answer))
  return problems


@dataclasses.dataclass(frozen=True)
class Source:
  """Official GSM8K files: `{path}/{split}.jsonl`.

  The calculator's annotations, `<<16-3=13>>`, are removed from solutions.
  """

  path: str

  def example(self, split: str, index: int) -> Example:
    """Returns line `index` of the split's file."""
    file = epath.Path(self.path) / f'{split}.jsonl'
    return make_example(index, *files.item(_problems(file), index, file))


def task(path: str) -> base.Task:
  """Official GSM8K, read from the folder of `train.jsonl` and `test.jsonl`."""
  return base.SourceTask(
    name='gsm8k',
    metric='exact_match',
    max_new_tokens=512,
    source=Source(path),
    extract=extract_answer,
  )
