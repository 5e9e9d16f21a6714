r"""Times an iteration of the loop beside its parts on meshes of devices.

python experiments/meshes.py --config=configs/meshes.py --workdir=DIR

Shapes are of published models, weights are random. A second run goes on where
the first one ended. `studies.meshes.Meshes` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.runs import command_line, job, profiling
from speccascade.studies import flags as studies_flags
from speccascade.studies import meshes

_CONFIG = studies_flags.define_config(__file__)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the results.')
_PROFILE = profiling.define_flags()
_JOIN = job.define_flags()
flags.mark_flags_as_required(['workdir'])


def main():
  """Times every cell and prints the table."""
  _JOIN()
  study = config.parse(meshes.Meshes, _CONFIG.value)
  print(meshes.run(study, _WORKDIR.value, _PROFILE()))


if __name__ == '__main__':
  command_line.run(main, 'meshes')
