"""T5 v1.1, small drafts for large or XL: the paper's T5 cells.

python experiments/sweep.py --config=configs/t5.py:small-large,wmt,MODELS \
    --workdir=results/t5_small_large_wmt

The argument is pair,task[,models[,data]]: small-large or small-xl; wmt, xsum or
cnn_dailymail; the folder of t5-v1_1-small, -large and -xl, fine-tuned on the
task as the paper's are (without it the hub's, which are not); the folder of the
data, without which they are Hugging Face datasets.

In bfloat16 small and large fit one chip of 16 GB, small and XL one of 32 GB:
the slots of so many rows peak at 9.5 GiB of a v5e and 19.9 of a v6e for wmt, at
11.1 and 23.4 for documents (experiments/compile_tpu.py, with answers). Nothing
here was run at this size. An estimate from the paper's counts: 39 points at 4
temperatures over 3,000 short outputs take some hours of one chip, over 11,305
or 13,368 documents about a day.
"""

from speccascade.sweeps import paper

_PAIRS = {
  'small-large': ('t5-v1_1-small', 't5-v1_1-large'),
  'small-xl': ('t5-v1_1-small', 't5-v1_1-xl'),
}
_TASKS = {
  'wmt': (3000, 192, {'style': 't5'}),
  'xsum': (11_305, 48, {'style': 'input'}),
  'cnn_dailymail': (13_368, 48, {'style': 'input'}),
}


def get_config(arg='small-large,wmt'):
  *models, task, data = paper.argument(arg, _PAIRS, _TASKS, 'google/')
  number, rows, args = _TASKS[task]
  return paper.cell(
    *models,
    task,
    task_args=args | ({'path': data} if data else {}),
    split='validation',
    num_examples=number,
    gammas=(5,),
    batch_size=rows,
  )
