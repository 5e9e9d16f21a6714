"""Trains the word-problem verifier: 12.9M parameters, 393M token positions.

  python experiments/train.py --config=configs/train_verifier.py \
    --workdir=/tmp/speccascade/verifier

One H100: 287 s at 1.37M positions/s; validation loss 0.0744 nats a token.
`--config=configs/train_verifier.py:smoke` is a tiny run on a CPU.
"""

import ml_collections


def get_config(arg=''):
  if arg not in ('', 'smoke'):
    raise ValueError(f'{arg!r}: the only argument is smoke')
  config = ml_collections.ConfigDict()
  config.name = 'verifier'
  config.seed = 0

  # Corpus and tokenizer: those of configs/train_drafter.py.
  config.task = 'word_problems'
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.tokenizer = 'speccascade/pairs/word_problems/tokenizer.model'
  config.num_train = 1_000_000
  config.num_valid = 2_048
  config.length = 256

  config.model = ml_collections.ConfigDict()
  config.model.vocab_size = 768
  config.model.num_layers = 8
  config.model.embed_dim = 384
  config.model.num_heads = 6
  config.model.num_kv_heads = 2
  config.model.head_dim = 64
  config.model.hidden_dim = 1024
  config.model.dtype = 'bfloat16'

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.peak_learning_rate = 1e-3
  config.optimizer.warmup_steps = 200
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.95
  config.optimizer.weight_decay = 0.1
  config.optimizer.clip_norm = 1.0

  config.batch_size = 512
  config.num_steps = 3_000
  config.log_every = 50
  config.eval_every = 500
  config.save_every = 1_000

  if arg == 'smoke':
    config.num_train = 512
    config.num_valid = 32
    config.model.num_layers = 2
    config.model.embed_dim = 64
    config.model.num_heads = 2
    config.model.num_kv_heads = 1
    config.model.head_dim = 32
    config.model.hidden_dim = 128
    config.model.dtype = 'float32'
    config.optimizer.warmup_steps = 5
    config.batch_size = 8
    config.num_steps = 20
    config.log_every = 5
    config.eval_every = 10
    config.save_every = 10
  return config
