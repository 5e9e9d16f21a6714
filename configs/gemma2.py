"""Gemma 2, 2B drafts for 9B or 27B, few-shot: the paper's Gemma cells.

python experiments/sweep.py --config=configs/gemma2.py:2b-27b,gsm8k \
    --workdir=results/gemma2_2b_27b_gsm8k

The argument is pair,task[,models[,data]]: 2b-9b or 2b-27b; wmt, cnn_dailymail,
gsm8k, mbpp, squad_v2, web_questions, nq_open or trivia_qa; the folder of
gemma-2-2b, -9b and -27b, without which they are the hub's; the folder of the
data, without which they are Hugging Face datasets. Scoring mbpp runs code that
the models write, in a sandbox.

In bfloat16 2B and 9B take 24 GB, 2B and 27B 60 GB, beside caches. The slots of
48 rows, with prompts of 1,536 tokens and answers of 512, peak at 20.2 GiB of
each chip of v6e:2x2 for 9B (--config.mesh='(1, 4)') and at 15.4 of v6e:2x4 for
27B ('(1, 8)'; experiments/compile_tpu.py, with answers). Nothing here was run
at this size. An estimate from the parameters: 40 points at 4 temperatures over
1,000 outputs take about half a day at the bandwidth of one chip for 9B, and
more than a day for 27B.
"""

from speccascade.sweeps import paper

_PAIRS = {
  '2b-9b': ('gemma-2-2b', 'gemma-2-9b'),
  '2b-27b': ('gemma-2-2b', 'gemma-2-27b'),
}
_TASKS = {
  'wmt': (3000, 'validation', {'shots_split': 'train'}),
  'cnn_dailymail': (1000, 'validation', {}),
  'gsm8k': (1319, 'test', {}),
  'mbpp': (500, 'test', {'execute': True}),
  'squad_v2': (1000, 'validation', {}),
  'web_questions': (1000, 'test', {}),
  'nq_open': (1000, 'validation', {}),
  'trivia_qa': (1000, 'validation', {}),
}


def get_config(arg='2b-9b,gsm8k'):
  *models, task, data = paper.argument(arg, _PAIRS, _TASKS, 'google/')
  number, split, args = _TASKS[task]
  return paper.cell(
    *models,
    task,
    task_args={'style': 'few_shot', **args, **({'path': data} if data else {})},
    split=split,
    num_examples=number,
    gammas=(1,),
    batch_size=48,
  )
