"""Distils a pair's drafter from its verifier.

  python experiments/train.py \
    --config=configs/distill.py:translation,forward_kl,verifier \
    --workdir=/tmp/speccascade/distilled

The argument is pair,loss,samples: a shipped pair; forward_kl, reverse_kl, jsd,
total_variation or cross_entropy; the text they are computed on, the task's
targets, answers of the verifier, or of the drafter. A fourth, smoke, makes it
a tiny run on a CPU. `experiments/acceptance.py` shows what it changed.

One H200: translation,reverse_kl,drafter 94 s beside another run;
translation,forward_kl,verifier 232 s and word_problems,forward_kl,verifier
263 s, five runs side by side.
"""

import ml_collections

# Tokens of a row, of an encoder's input, and rows of a batch.
_SIZES = {
  'word_problems': (256, None, 256),
  'translation': (112, 112, 512),
}


def get_config(arg='word_problems,forward_kl,verifier'):
  pair, *rest = arg.split(',')
  if len(rest) not in (2, 3) or rest[2:] not in ([], ['smoke']):
    raise ValueError(f'{arg!r}: the argument is pair,loss,samples[,smoke]')
  if pair not in _SIZES:
    raise ValueError(f'{pair!r}: the pair is one of {", ".join(_SIZES)}')
  length, input_length, batch_size = _SIZES[pair]
  config = ml_collections.ConfigDict()
  config.name = 'drafter'
  config.seed = 0

  config.distill = ml_collections.ConfigDict()
  config.distill.pair = pair  # Or a folder.
  config.distill.loss = rest[0]
  config.distill.samples = rest[1]
  config.dtype = 'bfloat16'

  # The verifier's corpus; every example is seen once.
  config.task = pair
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.num_train = 600 * batch_size
  config.num_valid = 2_048
  config.length = length
  if input_length is not None:
    config.input_length = input_length

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.peak_learning_rate = 1e-3
  config.optimizer.warmup_steps = 50
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.95
  config.optimizer.weight_decay = 0.1
  config.optimizer.clip_norm = 1.0

  config.batch_size = batch_size
  config.num_steps = 600
  config.log_every = 50
  config.eval_every = 200
  config.save_every = 600

  if rest[2:]:
    config.num_train = 64
    config.num_valid = 8
    config.dtype = 'float32'
    config.optimizer.warmup_steps = 1
    config.batch_size = 8
    config.num_steps = 4
    config.log_every = 1
    config.eval_every = 2
    config.save_every = 2
  return config
