"""Draft schedules beside fixed draft lengths, on both shipped pairs.

python experiments/sweep.py --config=configs/schedules.py \
    --workdir=results/schedules
"""

import ml_collections


def get_config():
  config = ml_collections.ConfigDict()
  config.cells = ml_collections.ConfigDict()
  config.cells.word_problems = _cell(
    'word_problems', alpha=0.7, gammas=(5, 8, 12, 16, 24), longest=24
  )
  config.cells.translation = _cell(
    'translation', alpha=0.9, gammas=(3, 5, 7, 9, 12, 16), longest=16
  )
  # BiLD drafts until its drafter's confidence falls.
  config.cells.translation.rules.bild_rollback = (3.0,)
  config.cells.translation.trials = 8  # Short answers: 30 ms each.
  return config


def _cell(name, alpha, gammas, longest):
  config = ml_collections.ConfigDict()
  config.pair = name
  config.task = name
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 200
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x (gamma or schedule) x temperature.
  config.rules = ml_collections.ConfigDict({'strict': (), 'token_v3': (alpha,)})
  config.gammas = gammas
  config.schedules = ml_collections.ConfigDict(
    {'confidence': (0.4, 0.8), 'adaptive': (), 'cost': ()}
  )
  config.schedule_gamma = longest  # The longest draft of a schedule.
  config.temperatures = (0.0, 1.0)
  config.top_ps = (1.0,)
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 20
  config.trials = 4
  return config
