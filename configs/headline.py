"""The verifier alone, strict and token_v3 timed on 200 problems, batch 1.

python experiments/sweep.py --config=configs/headline.py \
    --workdir=results/headline
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.pair = 'word_problems'
  config.task = 'word_problems'
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 200
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x gamma x temperature.
  config.rules = ml_collections.ConfigDict({'strict': (), 'token_v3': (0.7,)})
  config.gammas = (8, 16, 24)
  config.temperatures = (0.0,)
  config.top_ps = (1.0,)
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 200
  config.trials = 3
  return config
