"""Qwen2.5-Coder 0.5B Instruct drafts for 1.5B Instruct, on GSM8K and MBPP.

python experiments/sweep.py --config=configs/real_pair.py:0 \
    --workdir=results/real_pair_0

The argument is temperature[,models[,data[,task]]]: 0 or 1; the folder of
qwen2.5-coder-0.5b-instruct and -1.5b-instruct, without which they are taken
from the hub; that of gsm8k/test.jsonl and mbpp/mbpp.jsonl, without which they
are Hugging Face datasets; one of the tasks, as to run the other beside it on
another GPU. Scoring MBPP runs code that the models write, in a sandbox.

Every method and rule, over 500 problems of each. A task takes 10 minutes at
temperature 0 and 13 at 1 on an H200, latencies and compiling included.
"""

import ml_collections

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps

_METHODS = {
  'strict': (),
  'drafter': (),
  'chow': (0.1, 0.3),
  'diff': (-0.1, 0.1),
  'opt': (-0.1, 0.2),
  'token_v1': (0.1,),
  'token_v2': (0.2, 0.5),
  'token_v3': (0.1, 0.3, 0.6),
  'lossy': (0.2, 0.6),
  'lossy_beta': ((0.2, 0.5),),
  'typical': (0.3,),
  'bild': (1.0, 2.0),
  'fsd_js': (0.05, 0.2),
  'fsd_kl_qp': (0.3,),
  'fsd_kl_pq': (0.4,),
  'fsd_tv': (0.3,),
  'mixture': (0.3,),
  'contrastive': ((0.1, 0.4),),
  'top_p': (0.5, 0.9),
  'top_k': (2,),
  'min_p': (0.1,),
  'sequence_mean': (0.1,),
  'sequence_q10': (0.3,),
  'token_cascade': (0.1,),
  'bild_rollback': (1.0,),
}
# At temperature 0 a rule that only truncates, or follows p alone, is strict.
_SAMPLED = ('lossy', 'lossy_beta', 'typical', 'top_p', 'top_k', 'min_p')
_MODELS = {
  'drafter': 'Qwen/Qwen2.5-Coder-0.5B-Instruct',
  'verifier': 'Qwen/Qwen2.5-Coder-1.5B-Instruct',
}
_TOKENS = 512  # So that under 5 % of the verifier's answers are cut.
_DATA = {'gsm8k': 'gsm8k/test.jsonl', 'mbpp': 'mbpp/mbpp.jsonl'}


def get_config(arg='0'):
  temperature, models, data, only = [*arg.split(','), '', '', ''][:4]
  if temperature not in ('0', '1') or arg.count(',') > 3:
    raise ValueError(f'{arg!r}: the argument is 0 or 1[,models[,data[,task]]]')
  if only and only not in _DATA:
    raise ValueError(f'task {only!r}: it is one of {", ".join(_DATA)}')
  own = dict(_MODELS)
  if models:
    own = {
      role: f'{models}/{name.partition("/")[2].lower()}'
      for role, name in _MODELS.items()
    }
  cells = {}
  for task, file in _DATA.items():
    if only not in ('', task):
      continue
    args = {'style': 'chat', 'max_new_tokens': _TOKENS}
    args |= {'path': f'{data}/{file}'} if data else {}
    cells[task] = config_lib.template(
      sweeps.Sweep,
      **own,
      pair=None,
      dtype='bfloat16',
      task=task,
      task_args=args | ({'execute': True} if task == 'mbpp' else {}),
      num_examples=500,
      methods={
        name: points
        for name, points in _METHODS.items()
        if temperature == '1' or name not in _SAMPLED
      },
      gammas=(3, 5, 8),
      temperatures=(float(temperature),),
      batch_size=280,
      latency_examples=4,
      trials=1,
    )
  return ml_collections.ConfigDict({'cells': cells})
