"""TriviaQA without its texts, answers compared with all their aliases.

Source: Joshi et al. 2017, arXiv 1705.03551. Its official files nest questions
under 'Data'; other forms have a question, or a whole prompt as 'context'.
"""

import functools

from speccascade.tasks import answers, benchmark, qa, rows


def _extract(output):
  return answers.trivia(qa.short(output))


def _f1(output, reference):
  return answers.f1(_extract(output), reference)


def _parse(where, row):
  if 'Data' in row:
    for n, own in enumerate(rows.field(where, row, 'Data', list), 1):
      yield _official(f'{where}, question {n}', own)
  elif 'context' in row:
    yield _bare(where, row)
  else:
    yield _hugging_face(where, row)


def _official(where, row):
  question = rows.text(where, row, 'Question')
  answer = rows.field(where, row, 'Answer', dict)
  right = (
    rows.text(where, answer, 'Value'),
    *_texts(where, answer, ('NormalizedAliases', 'HumanAnswers')),
  )
  return qa.record(question, qa.need(where, right), answers.trivia)


def _hugging_face(where, row):
  question = rows.text(where, row, 'question')
  answer = rows.field(where, row, 'answer', dict)
  right = (
    rows.text(where, answer, 'value'),
    *_texts(where, answer, ('normalized_aliases', 'aliases')),
  )
  return qa.record(question, qa.need(where, right), answers.trivia)


def _bare(where, row):
  question = rows.text(where, row, 'context')
  question = question.removeprefix('Question:').removesuffix('Answer:')
  right = rows.text(where, row, 'answer'), *rows.texts(where, row, 'aliases')
  return qa.record(question.strip(), qa.need(where, right), answers.trivia)


def _texts(where, answer, names):
  return sum((rows.texts(where, answer, n) for n in names if n in answer), ())


SPEC = benchmark.Spec(
  name='trivia_qa',
  metrics=('exact_match', 'f1'),
  max_new_tokens=32,
  dataset='mandarjoshi/trivia_qa',
  subset='rc.nocontext',
  parse=_parse,
  forms=qa.forms(5),
  extract=_extract,
  others=(('f1', _f1),),
)
task = functools.partial(benchmark.task, SPEC)
