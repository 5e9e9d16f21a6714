"""The paper's Table 2: every method on every shipped pair.

python experiments/sweep.py --config=configs/table2.py \
    --workdir=results/table2

About 45 minutes on two CPU cores.
"""

import ml_collections

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps

# Of both pairs: rules and the cascades that the paper compares with.
_METHODS = {
  'strict': (),
  'drafter': (),
  'chow': (0.005, 0.02, 0.1, 0.3),
  'diff': (-0.2, 0.0, 0.2),
  'opt': (-0.2, 0.0, 0.3),
  'token_v1': (-0.2, 0.1, 0.5),
  'token_v2': (0.05, 0.3, 0.9),
  'token_v3': (0.5, 0.9, 0.98),
  'lossy': (0.2, 0.5, 0.9),
  'lossy_beta': ((0.2, 1.0), (0.5, 1.0), (0.2, 0.5), (0.5, 0.5), (0.5, 2.0)),
  'typical': (0.5, 0.8),
  'bild': (1.0, 3.0, 5.0),
  'top_p': (0.9,),
  'top_k': (4,),
  'min_p': (0.1,),
  'bild_rollback': (1.0, 3.0),
  'token_cascade': (0.02, 0.1, 0.3),
  'sequence_mean': (0.005, 0.02, 0.1),
  'sequence_min': (0.1, 0.3, 0.6),
  'sequence_q10': (0.05, 0.3),
}


def get_config():
  return ml_collections.ConfigDict(
    {
      'cells': {
        # Turns of word_problems take longest and vary least.
        'word_problems': _cell('word_problems', gammas=(5, 16), trials=3),
        'translation': _cell('translation', gammas=(5, 9), trials=4),
      }
    }
  )


def _cell(name, gammas, trials):
  return config_lib.template(
    sweeps.Sweep,
    pair=name,
    task=name,
    task_args={'seed': 0},
    num_examples=400,
    methods=_METHODS,
    gammas=gammas,
    temperatures=(0.0, 1.0),
    latency_examples=10,
    trials=trials,
  )
