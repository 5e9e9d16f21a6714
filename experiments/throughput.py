"""Serves requests in slots: tokens a second, and what each request waits.

python experiments/throughput.py --workdir=results/throughput

A second run goes on where the first one ended.
`studies.throughput.Throughput` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.runs import command_line, job
from speccascade.studies import flags as studies_flags
from speccascade.studies import throughput

_CONFIG = studies_flags.define_config(__file__)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
_JOIN = job.define_flags()
flags.mark_flags_as_required(['workdir'])


def main():
  """Serves the requests of every cell and prints the table."""
  _JOIN()
  study = config.parse(throughput.Throughput, _CONFIG.value)
  print(throughput.run(study, _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'throughput')
