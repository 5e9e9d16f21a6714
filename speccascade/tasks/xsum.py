"""XSum: summaries of one sentence, scored by ROUGE-2.

Source: Narayan et al. 2018, arXiv 1808.08745.
"""

import functools

from speccascade.tasks import benchmark, prompts, rows, summaries


def _parse(where, row):
  document, summary = (
    rows.text(where, row, name) for name in ('document', 'summary')
  )
  yield benchmark.Record({'document': document}, summary, (summary,))


SPEC = benchmark.Spec(
  name='xsum',
  metrics=('rouge2', *summaries.OTHER_METRICS),
  max_new_tokens=64,
  dataset='EdinburghNLP/xsum',
  parse=_parse,
  forms={
    'input': prompts.Form(
      question='{document}',
      answer='{target}',
      chat=False,
      max_input_tokens=1024,
    ),
    'few_shot': prompts.Form(
      question='{document}\n\nSummary in one sentence:',
      shots=1,
      chat=False,
      stop=('\n',),
      max_input_tokens=2048,
    ),
    'chat': prompts.Form(
      question='{document}\n\nSummarize this text in one sentence.',
      chat=True,
      stop=('\n',),
      max_input_tokens=1024,
    ),
  },
  others=summaries.OTHERS,
  document='document',
)
task = functools.partial(benchmark.task, SPEC)
