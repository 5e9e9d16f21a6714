"""Trains one model of a pair on a task.

  python experiments/train.py --config=configs/train_verifier.py \
    --workdir=/tmp/speccascade/verifier

A second run with the same workdir resumes. Any field of the config is a flag:
`--config.batch_size=256`.
"""

from absl import app, flags, logging
from ml_collections import config_flags

from speccascade import flags as command_line
from speccascade import tasks
from speccascade.models import checkpoints
from speccascade.tasks import tokenizer as tokenizer_lib
from speccascade.training import data, loop

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
flags.mark_flags_as_required(['config', 'workdir'])


def main(argv):
  """Makes the data, trains and exports."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  logging.set_verbosity(logging.WARNING)  # Checkpoints are talkative.
  try:
    _train(_CONFIG.value, _WORKDIR.value)
  except ValueError as error:
    raise SystemExit(f'train: {error}') from None


def _train(config, workdir):
  loop.check(config)  # Before the corpus is made.
  task = tasks.load(config.task, config.task_args)
  tokenizer = tokenizer_lib.load(config.tokenizer)
  if tokenizer.vocab_size() != config.model.vocab_size:
    raise ValueError(
      f'{config.tokenizer} has {tokenizer.vocab_size()} pieces: set '
      f'model.vocab_size, now {config.model.vocab_size}, to that'
    )
  train, valid = (
    data.tokenize(
      task,
      tokenizer,
      split,
      count,
      config.length,
      config.get('input_length'),  # Of an encoder-decoder.
    )
    for split, count in (
      ('train', config.num_train),
      ('validation', config.num_valid),
    )
  )
  model = checkpoints.make_model(
    checkpoints.make_config(config.get('family', 'gemma2'), **config.model)
  )
  loop.train(config, model, train, valid, workdir)


if __name__ == '__main__':
  app.run(main, flags_parser=command_line.parse)
