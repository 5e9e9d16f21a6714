"""Times slots beside fixed batches, and a grid of rules beside its points.

python experiments/batching.py --workdir=results/batching

A second run goes on where the first one ended.
`studies.batching.Batching` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import batching
from speccascade.studies import flags as studies_flags

_CONFIG = studies_flags.define_config(__file__)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
flags.mark_flags_as_required(['workdir'])


def main():
  """Measures both comparisons and prints the table."""
  study = config.parse(batching.Batching, _CONFIG.value)
  print(batching.run(study, _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'batching')
