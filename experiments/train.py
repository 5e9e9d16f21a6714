"""Trains one model of a pair on a task, or distils a pair's drafter.

  python experiments/train.py \
    --config=configs/train.py:word_problems,verifier \
    --workdir=/tmp/speccascade/verifier
  python experiments/train.py \
    --config=configs/distill.py:word_problems,forward_kl,verifier \
    --workdir=/tmp/speccascade/distilled

A second run with the same workdir resumes. Any field of the config is a flag:
`--config.batch_size=256`. Several processes of one job share the workdir.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from ml_collections import config_flags

from speccascade import config
from speccascade.runs import command_line, job
from speccascade.training import config as training_config
from speccascade.training import run

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this run.')
flags.mark_flags_as_required(['config', 'workdir'])
_JOIN = job.define_flags()


def main():
  """Joins a job, parses the config, makes the data, trains and exports."""
  _JOIN()
  run.run(config.parse(training_config.Train, _CONFIG.value), _WORKDIR.value)


if __name__ == '__main__':
  command_line.run(main, 'train')
