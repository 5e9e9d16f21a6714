"""Times drafting by the load beside plain decoding and fixed drafts, by shapes.

python experiments/load.py --workdir=DIR

Weights are random and acceptance is forced. A second run goes on where the
first one ended. `studies.load.Load` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.runs import command_line, job
from speccascade.studies import flags as studies_flags
from speccascade.studies import load

_CONFIG = studies_flags.define_config(__file__)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
_JOIN = job.define_flags()
flags.mark_flags_as_required(['workdir'])


def main():
  """Times every batch size and prints the table."""
  _JOIN()
  print(load.run(config.parse(load.Load, _CONFIG.value), _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'load')
