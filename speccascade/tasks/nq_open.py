"""NaturalQuestions-open: short answers of Google's users' questions.

Source: Lee et al. 2019, "Latent Retrieval for Weakly Supervised Open Domain
Question Answering"; answers are compared as its evaluation does.
"""

import functools

from speccascade.tasks import answers, benchmark, qa, rows


def _extract(output):
  return answers.natural_questions(qa.short(output))


def _f1(output, reference):
  return answers.f1(_extract(output), reference)


def _parse(where, row):
  question = rows.text(where, row, 'question')
  right = qa.need(where, rows.texts(where, row, 'answer'))
  yield qa.record(question, right, answers.natural_questions)


SPEC = benchmark.Spec(
  name='nq_open',
  metrics=('exact_match', 'f1'),
  max_new_tokens=32,
  dataset='google-research-datasets/nq_open',
  parse=_parse,
  forms=qa.forms(5, header='Answer these questions:\n\n'),
  extract=_extract,
  others=(('f1', _f1),),
)
task = functools.partial(benchmark.task, SPEC)
