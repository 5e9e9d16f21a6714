"""Trains one model of a pair on a task, or distils a pair's drafter.

  python experiments/train.py --config=configs/train_verifier.py \
    --workdir=/tmp/speccascade/verifier
  python experiments/train.py \
    --config=configs/distill.py:word_problems,forward_kl,verifier \
    --workdir=/tmp/speccascade/distilled

A second run with the same workdir resumes. Any field of the config is a flag:
`--config.batch_size=256`.
"""

from absl import app, flags, logging
from ml_collections import config_flags

from speccascade import flags as command_line
from speccascade.training import run

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
flags.mark_flags_as_required(['config', 'workdir'])


def main(argv):
  """Makes the data, trains and exports."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  logging.set_verbosity(logging.WARNING)  # Checkpoints are talkative.
  try:
    run.run(_CONFIG.value, _WORKDIR.value)
  except (OSError, ValueError) as error:
    raise SystemExit(f'train: {error}') from None


if __name__ == '__main__':
  app.run(main, flags_parser=command_line.parse)
