r"""Compiles pairs for slices of TPU, without a TPU: memory, bytes and times.

python experiments/compile_tpu.py --config=configs/compile_tpu.py \
  --workdir=results/compile_tpu

A second run takes what the first has compiled. Any field of the config is a
flag: `--config.topologies="('v5e:2x4',)"`.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from ml_collections import config_flags

from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import compile_tpu

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
flags.mark_flags_as_required(['config', 'workdir'])


def main():
  """Compiles every cell and prints the table."""
  study = config.parse(compile_tpu.CompileTpu, _CONFIG.value)
  print(compile_tpu.run(study, _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'compile_tpu')
