r"""Compiles training steps for slices of TPU, without a TPU: memory of a chip.

python experiments/compile_training.py --config=configs/compile_training.py \
  --workdir=results/compile_training

Any field of the config is a flag: `--config.meshes="((2, 4),)"`.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from ml_collections import config_flags

from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import compile_training

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
flags.mark_flags_as_required(['config', 'workdir'])


def main():
  """Compiles every step and prints the table."""
  study = config.parse(compile_training.CompileTraining, _CONFIG.value)
  print(compile_training.run(study, _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'compile_training')
