"""Draft schedules beside fixed draft lengths.

python experiments/sweep.py --config=configs/schedules.py \
    --workdir=results/schedules
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.pair = 'word_problems'
  config.task = 'word_problems'
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 100
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x (gamma or schedule) x temperature.
  config.rules = ml_collections.ConfigDict({'strict': (), 'token_v3': (0.7,)})
  config.gammas = (3, 5, 8, 12, 16, 24)
  config.schedules = ml_collections.ConfigDict(
    {'confidence': (0.5, 0.9), 'adaptive': (), 'cost': ()}
  )
  config.schedule_gamma = 24  # The longest draft of a schedule.
  config.temperatures = (0.0, 1.0)
  config.top_p = 1.0
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 20
  config.trials = 3
  return config
