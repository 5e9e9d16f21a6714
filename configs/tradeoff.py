"""Quality against latency and rejections: four temperatures, three gammas.

python experiments/sweep.py --config=configs/tradeoff.py \
    --workdir=results/tradeoff

The translation pair; `configs/tradeoff.py:word_problems` is the other.
"""

import ml_collections


def get_config(pair='translation'):
  config = ml_collections.ConfigDict()
  config.pair = pair
  config.task = pair
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 100
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x gamma x temperature.
  config.rules = ml_collections.ConfigDict(
    {
      'strict': (),
      'chow': (0.02, 0.1, 0.3),
      'diff': (-0.2, 0.2),
      'opt': (-0.2, 0.0, 0.3),
      'token_v3': (0.3, 0.9, 0.99),
      'lossy': (0.2, 0.5, 0.9),
      'top_p': (0.7, 0.9),
    }
  )
  config.gammas = (3, 5, 7)
  config.temperatures = (0.0, 0.1, 0.5, 1.0)
  config.top_ps = (1.0,)
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 6
  config.trials = 4
  return config
