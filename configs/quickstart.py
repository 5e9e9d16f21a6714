"""Every deferral rule on a shipped pair, in minutes on two CPU cores.

python experiments/sweep.py --config=configs/quickstart.py \
    --workdir=results/quickstart
"""

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps


def get_config():
  return config_lib.template(
    sweeps.Sweep,
    pair='word_problems',
    task='word_problems',
    task_args={'seed': 0},
    num_examples=240,  # Fewer show of no rule that it loses little.
    methods={
      'strict': (),
      'drafter': (),
      'chow': (0.02, 0.1),
      'diff': (0.0, 0.1),
      'opt': (0.0, 0.3),
      'token_v1': (0.0, 0.1),
      'token_v2': (0.3, 0.6),
      'token_v3': (0.3, 0.7, 0.98),
      'lossy': (0.2, 0.5),
      'lossy_beta': ((0.2, 1.0), (0.5, 1.0), (0.5, 0.5), (0.5, 2.0)),
      'typical': (0.5, 0.8),
      'bild': (0.7, 2.0),
      'fsd_js': (0.02, 0.1),
      'fsd_kl_qp': (0.1,),
      'fsd_kl_pq': (0.1,),
      'fsd_tv': (0.1,),
      'mixture': (0.1, 0.3),
      'contrastive': ((0.1, 0.0),),
      'top_p': (0.9,),
      'top_k': (4,),
      'min_p': (0.1,),
    },
    gammas=(8,),
    latency_examples=6,
    trials=3,
  )
