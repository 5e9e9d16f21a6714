"""GPQA and questions of its form: four options, one right, by path.

The options of a question are shuffled by a seed that is its text, so that they
stand alike in all runs. Source: Rein et al. 2023, arXiv 2311.12022.
"""

import functools
import random
import re

from speccascade.tasks import benchmark, prompts, rows

_LETTERS = 'ABCD'
_SAID = re.compile(r'answer is:?\s*\**\(?([A-D])\b', re.I)
_ALONE = re.compile(r'\(([A-D])\)|\b([A-D])\b')


def extract(text: str) -> str:
  """Returns the letter that is answered, '' for none."""
  if found := _SAID.findall(text):
    return found[-1].upper()
  found = [a or b for a, b in _ALONE.findall(text)]
  return found[-1] if found else ''


def _parse(where, row):
  question, right, *wrong = (
    rows.text(where, row, name).strip()
    for name in (
      'Question',
      'Correct Answer',
      *(f'Incorrect Answer {n}' for n in (1, 2, 3)),
    )
  )
  options = [right, *wrong]
  random.Random(question).shuffle(options)
  letter = _LETTERS[options.index(right)]
  listed = '\n'.join(
    f'({name}) {text}' for name, text in zip(_LETTERS, options, strict=True)
  )
  yield benchmark.Record(
    {'question': question, 'options': listed}, letter, letter
  )


SPEC = benchmark.Spec(
  name='gpqa',
  metrics=('exact_match',),
  max_new_tokens=2048,
  dataset='Idavidrein/gpqa',
  subset='gpqa_diamond',
  parse=_parse,
  forms={
    'chat': prompts.Form(
      question='{question}\n\n{options}\n\nThink step by step. End with a line '
      'that says "The answer is (X).", where X is the letter.',
      chat=None,
    ),
    'few_shot': prompts.Form(
      question='Question: {question}\n{options}\nAnswer:',
      chat=False,
      stop=('Question:',),
    ),
  },
  extract=extract,
  nothing='',
)
task = functools.partial(benchmark.task, SPEC)
