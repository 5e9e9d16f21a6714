"""The cascades that the paper compares with, beside its own.

python experiments/sweep.py --config=configs/baselines.py \
    --workdir=results/baselines
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

  # Points: rules x alpha x (gamma or schedule) x temperature; a sequential
  # cascade has no gamma.
  config.rules = ml_collections.ConfigDict(
    {
      'strict': (),
      'chow': (0.1, 0.3),
      'opt': (0.0, 0.3),
      'token_v3': (0.3, 0.7),
      'lossy': (0.3, 0.7),
      'lossy_beta1': (0.3, 0.7),
      'lossy_beta_half': (0.3, 0.7),
      'lossy_beta2': (0.3, 0.7),
      'bild': (1.0, 3.0),
      'bild_rollback': (1.0, 3.0),
      'top_p': (0.7, 0.9),
      'top_k': (2, 8),
      'min_p': (0.1, 0.5),
      'token_cascade': (0.1, 0.3),
      'sequence_mean': (0.05, 0.1),
      'sequence_min': (0.4, 0.6),
      'sequence_q10': (0.2, 0.5),
    }
  )
  config.gammas = (5,)
  # BiLD falls back to the verifier where the drafter is unsure.
  config.schedules = ml_collections.ConfigDict({'confidence': (0.5,)})
  config.schedule_gamma = 9
  config.temperatures = (0.0, 0.5, 1.0)
  config.top_p = 1.0
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 6
  config.trials = 3
  return config
