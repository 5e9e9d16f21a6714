"""CNN/DailyMail: highlights of news, scored by ROUGE.

Sources: Hermann et al. 2015, arXiv 1506.03340; See et al. 2017, arXiv
1704.04368, for summaries with a highlight a line, as 'rougeLsum' wants them.
The official stories are read from a folder of `{split}/*.story`, in the order
of their names, or of stories without splits.
"""

import functools

from etils import epath

from speccascade.tasks import benchmark, files, prompts, rows, summaries

_HIGHLIGHT = '@highlight'


def _read(data, split, first=None):
  folder = epath.Path(data.path) if data.path else None
  if folder is None or not folder.is_dir():
    return rows.read(data, split, first)
  own = folder / split if (folder / split).is_dir() else folder
  stories = sorted(own.glob('*.story'))
  if not stories:
    return rows.read(data, split, first)
  return [(str(file), _story(file)) for file in stories[:first]]


def _story(file):
  text = '\n'.join(line for _, line in files.lines(file))
  article, *highlights = text.split(_HIGHLIGHT)
  highlights = [x.strip() for x in highlights if x.strip()]
  return {'article': article.strip(), 'highlights': '\n'.join(highlights)}


def _parse(where, row):
  article, highlights = (
    rows.text(where, row, name) for name in ('article', 'highlights')
  )
  yield benchmark.Record({'article': article}, highlights, (highlights,))


SPEC = benchmark.Spec(
  name='cnn_dailymail',
  metrics=('rouge2', *summaries.OTHER_METRICS),
  max_new_tokens=128,
  dataset='abisee/cnn_dailymail',
  subset='3.0.0',
  parse=_parse,
  read=_read,
  forms={
    'input': prompts.Form(
      question='{article}',
      answer='{target}',
      chat=False,
      max_input_tokens=1024,
    ),
    'few_shot': prompts.Form(
      question='Summarize this article.\n\n{article}\n\nSummary:',
      chat=False,
      stop=('\n\n',),
      max_input_tokens=1024,
    ),
    'chat': prompts.Form(
      question='Summarize this article in three or four short sentences.\n\n'
      '{article}',
      chat=True,
      max_input_tokens=1024,
    ),
  },
  others=summaries.OTHERS,
  document='article',
)
task = functools.partial(benchmark.task, SPEC)
