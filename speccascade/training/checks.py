"""Everything that can be wrong with a training config, told before any data."""

import jax

from speccascade.sweeps import settings

_FIELDS = (
  'seed',
  'task',
  'task_args',
  'num_train',
  'num_valid',
  'length',
  'optimizer',
)
_POSITIVE = ('batch_size', 'num_steps', 'log_every', 'eval_every', 'save_every')


def check(config):
  """Raises ValueError for a config that `run.run` could not train with."""
  own = ('dtype',) if 'distill' in config else ('model', 'tokenizer')
  fields = (*_FIELDS, *_POSITIVE, *own)
  if missing := [name for name in fields if name not in config]:
    raise ValueError(
      f'the config has no {", ".join(missing)}: it is none of training'
    )
  check_loop(config)
  for name in ('num_train', 'num_valid', 'length', 'input_length'):
    if name in config:
      _check_positive(config, name)
  if 'distill' in config:
    name, dtype = 'dtype', config.dtype
  else:
    name, dtype = 'model.dtype', config.model.get('dtype', 'float32')
  if dtype not in settings.DTYPES:
    raise ValueError(f'{name}={dtype!r} must be one of {settings.DTYPES}')


def check_loop(config):
  """Raises ValueError for what `loop.train` itself reads of a config."""
  for name in _POSITIVE:
    _check_positive(config, name)
  if not 0 <= config.seed < 2**31:
    raise ValueError(f'seed={config.seed} must be in 0..{2**31 - 1}')
  if config.batch_size % jax.device_count():
    raise ValueError(
      f'batch_size={config.batch_size} must be a multiple of the '
      f'{jax.device_count()} devices'
    )
  for name in ('eval_every', 'save_every'):
    if config[name] % config.log_every:
      raise ValueError(
        f'{name}={config[name]} must be a multiple of '
        f'log_every={config.log_every}'
      )
  warmup = config.optimizer.warmup_steps
  if not 0 <= warmup < config.num_steps:
    raise ValueError(
      f'optimizer.warmup_steps={warmup} must be 0 or more and below '
      f'num_steps={config.num_steps}'
    )


def _check_positive(config, name):
  if config[name] < 1:
    raise ValueError(f'{name}={config[name]} must be at least 1')
