"""What the benchmarks share that measure speed alone.

Each is a file of records with `turns`, of which the first is asked, and a
category: the split 'test/coding' is the category 'coding' of the split 'test'.
Nothing says what is right, so that the metric only tells whether there is an
answer.
"""

from speccascade.tasks import benchmark, prompts, rows

# What SPEED-Bench publishes in place of texts that others own.
_PLACEHOLDER = 'FULL BENCHMARK DATA SHOULD BE FETCHED FROM THE SOURCE'


def _read(data, split, first=None):
  split, _, category = split.partition('/')
  found = rows.read(data, split, None if category else first)
  if not category:
    return found
  kinds = [rows.text(where, row, 'category') for where, row in found]
  if category not in kinds:
    raise ValueError(
      f'there is no category {category!r}; known: {", ".join(sorted({*kinds}))}'
    )
  both = zip(found, kinds, strict=True)
  return [row for row, kind in both if kind == category][:first]


def _parse(where, row):
  if 'turns' in row:
    turns = rows.texts(where, row, 'turns')
  else:
    turns = (rows.text(where, row, 'prompt'),)
  if not turns or not turns[0].strip():
    raise ValueError(f'{where} asks nothing: its first turn is blank')
  if turns[0].startswith(_PLACEHOLDER):
    raise ValueError(
      f'{where} has a placeholder for its text; fill the file with the '
      "benchmark's own prepare_data.py and name it by path"
    )
  # Without an answer, target and reference are the question's.
  yield benchmark.Record({'question': turns[0]}, turns[0], turns[0])


def spec(name: str, dataset: str = '', subset: str = '') -> benchmark.Spec:
  """Returns a benchmark of such questions."""
  return benchmark.Spec(
    name=name,
    metrics=('answered',),
    max_new_tokens=1024,
    dataset=dataset,
    subset=subset,
    parse=_parse,
    read=_read,
    forms={
      'chat': prompts.Form(question='{question}', chat=None),
      'input': prompts.Form(question='{question}', chat=False),
    },
  )
