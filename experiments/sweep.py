r"""Sweeps deferral rules over a task: records, table and figures.

python experiments/sweep.py --config=configs/quickstart.py \
  --workdir=results/quickstart

A second run with the same workdir resumes. Any field of the config is a flag:
`--config.num_examples=100`.
"""

from absl import app, flags
from ml_collections import config_flags

from speccascade import flags as command_line
from speccascade.reports import report
from speccascade.sweeps import run

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of this sweep.')
flags.mark_flags_as_required(['config', 'workdir'])


def main(argv):
  """Runs the sweep, prints its table and writes its report."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  try:
    records = run.run_all(_CONFIG.value, _WORKDIR.value)
    print(report.write(records, _WORKDIR.value))
  except ValueError as error:
    raise SystemExit(f'sweep: {error}') from None
  except OSError as error:
    raise SystemExit(
      f'sweep: {error}; check that --workdir is a folder to write to'
    ) from None
  print(f'Written to {_WORKDIR.value}: records, outputs and report.html.')


if __name__ == '__main__':
  app.run(main, flags_parser=command_line.parse)
