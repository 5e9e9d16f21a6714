"""WebQuestions: questions whose answers are in Freebase.

Source: Berant et al. 2013, "Semantic Parsing on Freebase from Question-Answer
Pairs"; answers are compared as SQuAD's are, as T5 has it (Roberts et al. 2020).
"""

import functools

from speccascade.tasks import answers, benchmark, qa, rows


def _extract(output):
  return answers.squad(qa.short(output))


def _f1(output, reference):
  return answers.f1(_extract(output), reference)


def _parse(where, row):
  # Its reformatted files say qText.
  name = 'qText' if 'qText' in row else 'question'
  question = rows.text(where, row, name)
  right = qa.need(where, rows.texts(where, row, 'answers'))
  yield qa.record(question, right, answers.squad)


SPEC = benchmark.Spec(
  name='web_questions',
  metrics=('exact_match', 'f1'),
  max_new_tokens=32,
  dataset='stanfordnlp/web_questions',
  parse=_parse,
  forms=qa.forms(5),
  extract=_extract,
  others=(('f1', _f1),),
)
task = functools.partial(benchmark.task, SPEC)
