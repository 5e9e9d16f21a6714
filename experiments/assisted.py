"""Times a verifier call of assisted generation in transformers, by shapes.

python experiments/assisted.py

`studies.assisted.Assisted` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import assisted
from speccascade.studies import flags as studies_flags

_CONFIG = studies_flags.define_config(__file__)


def main():
  """Times the answers and prints a line."""
  print(assisted.run(config.parse(assisted.Assisted, _CONFIG.value)))


if __name__ == '__main__':
  command_line.run(main, 'assisted')
