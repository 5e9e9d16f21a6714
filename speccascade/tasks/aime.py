r"""AIME: problems whose answers are whole numbers from 0 to 999, by path.

An answer is the number in the last \boxed{}, or else the one that follows the
last 'answer is', or else the last of the text.
"""

import functools
import re

from speccascade.tasks import answers, benchmark, prompts, rows

_BOXED = re.compile(r'\\boxed\{\s*(-?[\d,]+)\s*\}')
_SAID = re.compile(r'answer is:?\s*\**\$?\s*(-?[\d,]+)', re.I)


def extract(text: str) -> str:
  """Returns the whole number that is answered, '' for none."""
  for pattern in (_BOXED, _SAID):
    if found := pattern.findall(text):
      return _whole(found[-1])
  return _whole(answers.number(text))


def _whole(text):
  text = text.replace(',', '')
  return str(int(text)) if re.fullmatch(r'-?\d+', text) else ''


def _parse(where, row):
  names = {name.lower(): name for name in row}
  question, answer = (
    next((names[n] for n in known if n in names), known[0])
    for known in (('problem', 'question'), ('answer', 'solution'))
  )
  given = row.get(answer)
  right = str(given) if isinstance(given, int) else None
  right = _whole(right or rows.text(where, row, answer).strip())
  if not right:
    raise ValueError(f'{where}: {answer!r} must be a whole number')
  yield benchmark.Record(
    {'problem': rows.text(where, row, question)}, right, right
  )


SPEC = benchmark.Spec(
  name='aime',
  metrics=('exact_match',),
  max_new_tokens=8192,
  dataset='',
  parse=_parse,
  forms={
    'chat': prompts.Form(
      question='{problem}\n\nReason step by step, and put the final answer in '
      '\\boxed{{}}.',
      chat=None,
    ),
  },
  extract=extract,
  nothing='',
)
task = functools.partial(benchmark.task, SPEC)
