"""WMT: English to German, scored by BLEU.

Source: Bojar et al. 2014, the shared tasks' findings. Official files are
aligned line by line: `{path}/{split}.en` and `.de`.
"""

import functools
import itertools

from etils import epath

from speccascade.tasks import benchmark, files, prompts, rows


def _read(data, split, first=None):
  if not data.path:
    return rows.read(data, split, first)
  folder = epath.Path(data.path)
  if not folder.is_dir() or not (folder / f'{split}.en').exists():
    try:
      return rows.read(data, split, first)
    except ValueError:
      if not folder.is_dir():
        raise
  english, german = (
    list(itertools.islice(files.lines(folder / f'{split}.{language}'), first))
    for language in ('en', 'de')
  )
  for where, line in (*english, *german):
    if not line.strip():
      raise ValueError(f'{where} is empty; remove the pair from both files')
  if len(english) != len(german):
    raise ValueError(
      f'{folder / split}.en has {len(english)} lines and {split}.de has '
      f'{len(german)}; line i of one must translate line i of the other'
    )
  return [
    (where, {'translation': {'en': source, 'de': target}})
    for (where, source), (_, target) in zip(english, german, strict=True)
  ]


def _parse(where, row):
  source, target = (
    rows.text(where, row, f'translation.{language}')
    for language in ('en', 'de')
  )
  yield benchmark.Record({'source': source}, target, (target,))


SPEC = benchmark.Spec(
  name='wmt',
  metrics=('bleu',),
  max_new_tokens=80,
  dataset='wmt/wmt14',
  subset='de-en',
  parse=_parse,
  document='source',
  read=_read,
  forms={
    'input': prompts.Form(question='{source}', answer='{target}', chat=False),
    't5': prompts.Form(
      question='translate English to German: {source}',
      answer='{target}',
      chat=False,
      max_input_tokens=80,
    ),
    'few_shot': prompts.Form(
      question='English: {source}\nGerman:', shots=5, chat=False, stop=('\n',)
    ),
    'chat': prompts.Form(
      question='Translate to German. Write the translation and nothing else.'
      '\n\n{source}',
      chat=True,
      stop=('\n',),
    ),
  },
)
task = functools.partial(benchmark.task, SPEC)
