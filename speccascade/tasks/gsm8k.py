"""GSM8K: grade-school math, scored on the number of the answer.

Sources: Cobbe et al. 2021, arXiv 2110.14168; `extract_answer` is the authors'.
Models that reason before they answer end in 'The answer is 5.', as Wei et al.
2022, arXiv 2201.11903, have them; the field also scores the last number.
"""

import functools
import re

from speccascade.tasks import answers, benchmark, gsm8k_shots, prompts, rows
from speccascade.tasks.example import Example

INVALID = '[invalid]'
_COT = 'cot'  # A style, and the split of its shots.
_ANSWER = re.compile(r'#### (\-?[0-9\.\,]+)')
_SAID = re.compile(
  r'(?:[Tt]he (?:final )?answer is:? *\**(?:\\\()? ?\$?|\\boxed\{\$?)'
  r'(-?[0-9][0-9.,]*)'
)
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


def strict(text: str) -> str:
  r"""Returns the number that is said, or INVALID.

  After '####' or 'The answer is', or in \boxed{}.
  """
  found = extract_answer(text)
  if found == INVALID and (said := _SAID.search(text)):
    found = said.group(1)
  return INVALID if found == INVALID else answers.number(found)


def flexible(text: str) -> str:
  """Returns the number of `strict`, else the last one, or INVALID."""
  found = strict(text)
  return answers.number(text) or INVALID if found == INVALID else found


def _strict(output, reference):
  return answers.exact_match(strict(output), (reference,))


def _read(data, split, first=None):
  if split == _COT:
    where = 'the shots of Wei et al.'
    return [(where, row) for row in gsm8k_shots.ROWS[:first]]
  return rows.read(data, split, first)


def _parse(where, row):
  question, answer = (
    rows.text(where, row, name) for name in ('question', 'answer')
  )
  solution = _CALCULATION.sub('', answer)
  reference = extract_answer(solution)
  if reference == INVALID:
    raise ValueError(f"{where}: the answer has no '#### number'")
  number = answers.number(reference)
  fields = {
    'question': question,
    'thought': solution[: solution.index('####')].strip(),
    'number': number,
  }
  yield benchmark.Record(fields, solution, number)


SPEC = benchmark.Spec(
  name='gsm8k',
  metrics=('exact_match',),
  max_new_tokens=512,
  dataset='openai/gsm8k',
  subset='main',
  parse=_parse,
  read=_read,
  forms={
    'few_shot': prompts.Form(
      question='Question: {question}\nAnswer:',
      shots=5,
      chat=False,
      stop=('Question:', 'Q:'),
    ),
    _COT: prompts.Form(
      question='Q: {question}\nA:',
      answer=' {thought} The answer is {number}.',
      shots=len(gsm8k_shots.ROWS),
      shots_split=_COT,
      chat=False,
      stop=('Q:',),
    ),
    'chat': prompts.Form(
      question='{question}\n\nThink step by step. End with a line that says '
      '"The answer is N.", where N is a number.',
      chat=True,
    ),
  },
  extract=flexible,
  nothing=INVALID,
  others=(('strict', _strict),),
)
task = functools.partial(benchmark.task, SPEC)
