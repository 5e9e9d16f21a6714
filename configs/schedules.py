"""Draft schedules beside fixed draft lengths, on both shipped pairs.

python experiments/sweep.py --config=configs/schedules.py \
    --workdir=results/schedules

About 30 minutes on two CPU cores.
"""

import ml_collections

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps


def get_config():
  return ml_collections.ConfigDict(
    {
      'cells': {
        'word_problems': _cell(
          'word_problems',
          methods={'strict': (), 'token_v3': (0.7,)},
          gammas=(5, 8, 12, 16, 24),
          schedule_gamma=24,
          trials=4,
        ),
        # BiLD drafts until its drafter's confidence falls. Answers are short,
        # 30 ms each.
        'translation': _cell(
          'translation',
          methods={'strict': (), 'token_v3': (0.9,), 'bild_rollback': (3.0,)},
          gammas=(3, 5, 7, 9, 12, 16),
          schedule_gamma=16,
          trials=8,
        ),
      }
    }
  )


def _cell(name, **values):
  return config_lib.template(
    sweeps.Sweep,
    pair=name,
    task=name,
    task_args={'seed': 0},
    num_examples=200,
    schedules={'confidence': (0.4, 0.8), 'adaptive': (), 'cost': ()},
    temperatures=(0.0, 1.0),
    latency_examples=20,
    **values,
  )
