"""Trains one model of a shipped pair.

python experiments/train.py --config=configs/train.py:word_problems,verifier \
    --workdir=/tmp/speccascade/verifier

The argument is pair,role; a third part, smoke, makes it a tiny run on a CPU.
Parameters, time and validation loss in nats a token:

  word_problems,verifier  12.9M  287 s on an H100  0.0744
  word_problems,drafter    0.5M   62 s on an H100  0.1024
  translation,verifier    14.2M  122 s on an H200  0.0452
  translation,drafter      0.6M   20 s on an H200  0.1256
"""

from speccascade import config as config_lib
from speccascade.training import config as training

_TASKS = {
  'word_problems': dict(family='gemma2', length=256),
  'translation': dict(family='t5', length=112, input_length=112),
}
_MODELS = {
  'word_problems': dict(vocab_size=768, dtype='bfloat16'),
  'translation': dict(vocab_size=512, input_length=112, dtype='bfloat16'),
}
_SIZES = {
  ('word_problems', 'verifier'): dict(
    num_layers=8,
    embed_dim=384,
    num_heads=6,
    num_kv_heads=2,
    head_dim=64,
    hidden_dim=1024,
  ),
  ('word_problems', 'drafter'): dict(
    num_layers=2,
    embed_dim=128,
    num_heads=4,
    num_kv_heads=1,
    head_dim=32,
    hidden_dim=384,
  ),
  # Most of it is in its decoder: the encoder runs once an answer.
  ('translation', 'verifier'): dict(
    num_layers=2,
    num_decoder_layers=5,
    embed_dim=384,
    num_heads=6,
    head_dim=64,
    hidden_dim=832,
  ),
  ('translation', 'drafter'): dict(
    num_layers=1,
    num_decoder_layers=1,
    embed_dim=128,
    num_heads=4,
    head_dim=32,
    hidden_dim=352,
  ),
}
_STEPS = {
  ('word_problems', 'verifier'): 3_000,
  ('word_problems', 'drafter'): 1_600,
  ('translation', 'verifier'): 4_000,
  ('translation', 'drafter'): 1_600,
}


def get_config(arg='word_problems,verifier'):
  pair, _, rest = arg.partition(',')
  role, _, smoke = rest.partition(',')
  if (pair, role) not in _SIZES or smoke not in ('', 'smoke'):
    raise ValueError(
      f'{arg!r}: the argument is pair,role[,smoke]; pairs: '
      f'{", ".join(_TASKS)}; roles: verifier, drafter'
    )
  config = config_lib.template(
    training.Train,
    name=role,
    task=pair,
    task_args={'seed': 0},
    num_train=1_000_000,
    tokenizer=f'speccascade/pairs/{pair}/tokenizer.model',
    model=_MODELS[pair] | _SIZES[pair, role],
    optimizer=config_lib.template(
      training.Optimizer,
      peak_learning_rate=1e-3 if role == 'verifier' else 2e-3,
      warmup_steps=200,
    ),
    batch_size=512,
    num_steps=_STEPS[pair, role],
    **_TASKS[pair],
  )
  if (pair, role) == ('translation', 'drafter'):
    # It learns one wording of each sentence, the verifier all of them.
    config.task_args.plain = True
  if smoke:
    _shrink(config)
  return config


def _shrink(config):
  config.num_train = 512
  config.num_valid = 32
  config.model.embed_dim = 64
  config.model.num_heads = 2
  config.model.head_dim = 32
  config.model.hidden_dim = 128
  config.model.dtype = 'float32'
  if config.family == 't5':
    config.model.num_layers = 1
    config.model.num_decoder_layers = 2
  else:
    config.model.num_layers = 2
    config.model.num_kv_heads = 1
  config.optimizer.warmup_steps = 5
  config.batch_size = 8
  config.num_steps = 20
  config.log_every = 5
  config.eval_every = 10
  config.save_every = 10
