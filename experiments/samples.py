"""Decodes several answers to each prompt: pass@k and the majority.

python experiments/samples.py --workdir=results/samples

A second run goes on where the first one ended.
`studies.samples.Samples` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import flags as studies_flags
from speccascade.studies import samples

_CONFIG = studies_flags.define_config(__file__)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
flags.mark_flags_as_required(['workdir'])


def main():
  """Decodes the answers of every method and prints the table."""
  study = config.parse(samples.Samples, _CONFIG.value)
  print(samples.run(study, _WORKDIR.value))


if __name__ == '__main__':
  command_line.run(main, 'samples')
