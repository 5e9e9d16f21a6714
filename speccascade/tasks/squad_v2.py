"""SQuAD 2.0: answers from a passage, or none.

Source: Rajpurkar, Jia and Liang 2018, arXiv 1806.03822. A model says
'unanswerable' where the passage has no answer, which counts as ''.
"""

import functools

from speccascade.tasks import answers, benchmark, prompts, qa, rows

_UNANSWERABLE = 'unanswerable'


def _extract(output):
  return answers.squad_v2(qa.short(output))


def _f1(output, reference):
  return answers.f1(_extract(output), reference)


def _parse(where, row):
  if 'data' not in row:
    yield _record(where, row, row, row, _hugging_face(where, row))
    return
  for article in rows.field(where, row, 'data', list):
    for passage in rows.field(where, article, 'paragraphs', list):
      for question in rows.field(where, passage, 'qas', list):
        own = f'{where}, question {question.get("id")!r}'
        found = rows.field(own, question, 'answers', list)
        right = [rows.text(own, answer, 'text') for answer in found]
        yield _record(own, article, passage, question, right)


def _hugging_face(where, row):
  return rows.texts(where, rows.field(where, row, 'answers', dict), 'text')


def _record(where, article, passage, question, right):
  # As the evaluation does: what is compared as '' is no answer.
  right = [text for text in right if answers.squad(text)]
  fields = {
    'title': rows.field(where, article, 'title').replace('_', ' '),
    'passage': rows.text(where, passage, 'context').strip(),
    'question': rows.text(where, question, 'question').strip(),
  }
  reference = tuple(dict.fromkeys(map(answers.squad, right))) or ('',)
  return benchmark.Record(fields, (*right, _UNANSWERABLE)[0], reference)


SPEC = benchmark.Spec(
  name='squad_v2',
  metrics=('exact_match', 'f1'),
  max_new_tokens=48,
  dataset='rajpurkar/squad_v2',
  parse=_parse,
  forms={
    'few_shot': prompts.Form(
      question='Title: {title}\n\nBackground: {passage}\n\n'
      'Question: {question}\n\nAnswer:',
      header='Answer from the background, or say unanswerable.\n\n',
      shots=1,
      chat=False,
      stop=qa.STOP,
    ),
    'chat': prompts.Form(
      question='{passage}\n\nQuestion: {question}\n\nAnswer with words of the '
      'text above and nothing else. If it has no answer, say unanswerable.',
      chat=True,
      stop=qa.STOP,
    ),
  },
  extract=_extract,
  others=(('f1', _f1),),
)
task = functools.partial(benchmark.task, SPEC)
