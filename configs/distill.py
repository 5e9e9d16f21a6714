"""Distils a shipped pair's drafter from its verifier.

python experiments/train.py \
    --config=configs/distill.py:translation,forward_kl,verifier \
    --workdir=/tmp/speccascade/distilled

The argument is pair,loss,samples: a shipped pair; forward_kl, reverse_kl, jsd,
total_variation or cross_entropy; the text that the loss is computed on: the
task's targets, or answers of the verifier or of the drafter. A fourth part,
smoke, makes it a tiny run on a CPU. `experiments/acceptance.py` measures what
it changed.

One H200: translation,reverse_kl,drafter 94 s beside another run;
translation,forward_kl,verifier 232 s and word_problems,forward_kl,verifier
263 s, five runs side by side.
"""

from speccascade import config as config_lib
from speccascade.training import config as training

_SIZES = {
  'word_problems': dict(length=256, batch_size=256),
  'translation': dict(length=112, input_length=112, batch_size=512),
}
_STEPS = 600


def get_config(arg='word_problems,forward_kl,verifier'):
  pair, *rest = arg.split(',')
  if len(rest) not in (2, 3) or rest[2:] not in ([], ['smoke']):
    raise ValueError(f'{arg!r}: the argument is pair,loss,samples[,smoke]')
  if pair not in _SIZES:
    raise ValueError(f'{pair!r}: the pair is one of {", ".join(_SIZES)}')
  config = config_lib.template(
    training.Train,
    name='drafter',
    distill={'pair': pair, 'loss': rest[0], 'samples': rest[1]},
    dtype='bfloat16',
    # The verifier's corpus; every example is seen once.
    task=pair,
    task_args={'seed': 0},
    num_train=_STEPS * _SIZES[pair]['batch_size'],
    optimizer=config_lib.template(
      training.Optimizer, peak_learning_rate=1e-3, warmup_steps=50
    ),
    num_steps=_STEPS,
    eval_every=200,
    save_every=600,
    **_SIZES[pair],
  )
  if rest[2:]:
    _shrink(config)
  return config


def _shrink(config):
  config.num_train = 64
  config.num_valid = 8
  config.dtype = 'float32'
  config.optimizer.warmup_steps = 1
  config.batch_size = 8
  config.num_steps = 4
  config.log_every = 1
  config.eval_every = 2
  config.save_every = 2
