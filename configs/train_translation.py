"""Trains the drafter or the verifier of the shipped translation pair, T5.

  python experiments/train.py --config=configs/train_translation.py:verifier \
    --workdir=/tmp/speccascade/translation_verifier

The other argument is `drafter`; `smoke` is a tiny run on a CPU.
One H200: verifier, 14.2M parameters, 122 s, validation loss
0.0452 nats a token; drafter, 0.6M, 20 s, 0.1256.
"""

import ml_collections


def get_config(arg='verifier'):
  if arg not in ('drafter', 'verifier', 'smoke'):
    raise ValueError(f'{arg!r}: the argument is drafter, verifier or smoke')
  config = ml_collections.ConfigDict()
  config.name = 'verifier' if arg == 'verifier' else 'drafter'
  config.seed = 0

  config.task = 'translation'
  config.task_args = ml_collections.ConfigDict({'seed': 0})
  config.tokenizer = 'speccascade/pairs/translation/tokenizer.model'
  config.num_train = 1_000_000
  config.num_valid = 2_048
  config.length = 112
  config.input_length = 112

  # Most of the verifier is in its decoder: the encoder runs once an answer.
  config.family = 't5'
  config.model = ml_collections.ConfigDict()
  config.model.vocab_size = 512
  config.model.num_layers = 2
  config.model.num_decoder_layers = 5
  config.model.embed_dim = 384
  config.model.num_heads = 6
  config.model.head_dim = 64
  config.model.hidden_dim = 832
  config.model.input_length = config.input_length
  config.model.dtype = 'bfloat16'

  config.optimizer = ml_collections.ConfigDict()
  config.optimizer.peak_learning_rate = 1e-3
  config.optimizer.warmup_steps = 200
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.95
  config.optimizer.weight_decay = 0.1
  config.optimizer.clip_norm = 1.0

  config.batch_size = 512
  config.num_steps = 4_000
  config.log_every = 50
  config.eval_every = 500
  config.save_every = 1_000

  if arg == 'drafter':
    # It learns one wording of each sentence, the verifier all of them.
    config.task_args.plain = True
    config.model.num_layers = 1
    config.model.num_decoder_layers = 1
    config.model.embed_dim = 128
    config.model.num_heads = 4
    config.model.head_dim = 32
    config.model.hidden_dim = 352
    config.optimizer.peak_learning_rate = 2e-3
    config.num_steps = 1_600
  if arg == 'smoke':
    config.num_train = 512
    config.num_valid = 32
    config.model.num_layers = 1
    config.model.num_decoder_layers = 2
    config.model.embed_dim = 64
    config.model.num_heads = 2
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
