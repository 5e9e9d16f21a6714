"""Every deferral rule on the shipped pair, in minutes on two CPU cores.

python experiments/sweep.py --config=configs/quickstart.py \
    --workdir=results/quickstart
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.pair = 'word_problems'
  config.task = 'word_problems'
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 48
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x gamma x temperature.
  config.rules = ml_collections.ConfigDict(
    {
      'strict': (),
      'drafter': (),
      'chow': (0.1, 0.3, 0.5),
      'diff': (0.0, 0.1, 0.4),
      'opt': (0.0, 0.3, 0.8),
      'token_v1': (0.1, 0.3, 0.8),
      'token_v2': (0.3, 0.6, 0.9),
      'token_v3': (0.3, 0.7, 0.98),
      'lossy': (0.2, 0.5, 0.9),
      'lossy_beta1': (0.2, 0.5, 0.9),
      'lossy_beta_half': (0.5,),
      'lossy_beta2': (0.5,),
      'typical': (0.5, 0.8, 0.95),
      'bild': (0.7, 2.0, 5.0),
      'top_p': (0.9,),
      'top_k': (4,),
      'min_p': (0.1,),
    }
  )
  config.gammas = (8,)
  config.temperatures = (0.0,)
  config.top_ps = (1.0,)
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 6
  config.trials = 3
  return config
