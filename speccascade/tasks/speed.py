"""What the benchmarks share that measure speed alone.

Each is a file of JSON lines with `turns`, of which the first is asked, and a
category. Nothing says what is right, so that the metric only tells whether
there is an answer.
"""

from speccascade.tasks import benchmark, prompts, rows


def _parse(where, row):
  if 'turns' in row:
    turns = rows.texts(where, row, 'turns')
  else:
    turns = (rows.text(where, row, 'prompt'),)
  if not turns or not turns[0].strip():
    raise ValueError(f'{where} asks nothing: its first turn is blank')
  # Without an answer, target and reference are the question's.
  yield benchmark.Record({'question': turns[0]}, turns[0], turns[0])


def spec(name: str, dataset: str = '') -> benchmark.Spec:
  """Returns a benchmark of such questions."""
  return benchmark.Spec(
    name=name,
    metrics=('answered',),
    max_new_tokens=1024,
    dataset=dataset,
    parse=_parse,
    forms={
      'chat': prompts.Form(question='{question}', chat=None),
      'input': prompts.Form(question='{question}', chat=False),
    },
  )
