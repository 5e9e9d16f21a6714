"""The paper's Table 2: every method on every shipped pair.

python experiments/sweep.py --config=configs/table2.py \
    --workdir=results/table2
"""

import ml_collections

# Of both pairs: rules and the cascades that the paper compares with.
_RULES = {
  'strict': (),
  'drafter': (),
  'chow': (0.005, 0.02, 0.1, 0.3),
  'diff': (-0.2, 0.0, 0.2),
  'opt': (-0.2, 0.0, 0.3),
  'token_v1': (-0.2, 0.1, 0.5),
  'token_v2': (0.05, 0.3, 0.9),
  'token_v3': (0.5, 0.9, 0.98),
  'lossy': (0.2, 0.5, 0.9),
  'lossy_beta1': (0.2, 0.5),
  'lossy_beta_half': (0.2, 0.5),
  'lossy_beta2': (0.5,),
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
  config = ml_collections.ConfigDict()
  config.cells = ml_collections.ConfigDict()
  config.cells.word_problems = _cell('word_problems', gammas=(5, 16))
  config.cells.word_problems.trials = 3  # Its turns take longest, vary least.
  config.cells.translation = _cell('translation', gammas=(5, 9))
  return config


def _cell(name, gammas):
  config = ml_collections.ConfigDict()
  config.pair = name
  config.task = name
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.split = 'test'
  config.num_examples = 150
  config.max_prompt_tokens = 112
  config.dtype = 'float32'

  # Points: rules x alpha x gamma x temperature.
  config.rules = ml_collections.ConfigDict(_RULES)
  config.gammas = gammas
  config.temperatures = (0.0, 1.0)
  config.top_ps = (1.0,)
  config.top_k = 0
  config.seed = 0

  # Quality: rows of a batch, settings times prompts.
  config.batch_size = 48
  # Latency: batch 1.
  config.latency_examples = 10
  config.trials = 4
  return config
