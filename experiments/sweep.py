r"""Sweeps methods over a task: records, tables and figures.

python experiments/sweep.py --config=configs/quickstart.py \
  --workdir=results/quickstart

A second run with the same workdir resumes. Any field of the config is a flag:
`--config.num_examples=100`.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from ml_collections import config_flags

from speccascade import hosts
from speccascade.reports import report
from speccascade.runs import command_line, job, profiling
from speccascade.sweeps import compilation, config, run

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this sweep.')
flags.mark_flags_as_required(['config', 'workdir'])
_PROFILE = profiling.define_flags()
_JOIN = job.define_flags()


def main():
  """Runs the sweep, prints its table and writes its report."""
  _JOIN()
  compilation.keep()
  sweeps = config.parse(_CONFIG.value)
  records = run.run_all(sweeps, _WORKDIR.value, _PROFILE())
  if not hosts.is_first():
    return
  print(report.write(records, _WORKDIR.value))
  print(f'Written to {_WORKDIR.value}: records, outputs and report.html.')


if __name__ == '__main__':
  command_line.run(main, 'sweep')
