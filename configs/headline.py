"""The verifier alone, strict and token_v3 timed on 200 problems, batch 1.

python experiments/sweep.py --config=configs/headline.py \
    --workdir=results/headline

About 11 minutes on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps


def get_config():
  return config_lib.template(
    sweeps.Sweep,
    pair='word_problems',
    task='word_problems',
    task_args={'seed': 0},
    num_examples=200,
    methods={'strict': (), 'token_v3': (0.7,)},
    gammas=(8, 16, 24),
    latency_examples=200,
    trials=3,
  )
