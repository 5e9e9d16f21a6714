r"""Counts the greedy tokens that bfloat16 changes, and how near ties they were.

python experiments/flips.py
python experiments/flips.py --config.drafter=DIR --config.verifier=DIR \
  --config.task=gsm8k --config.task_args="{'path': 'DIR'}"

Plain decoding of the verifier and strict are each held against float32, and
against each other. `studies.flips.Flips` documents the fields of the config;
docs/parity.md explains the tables.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from speccascade import config
from speccascade.runs import command_line, job
from speccascade.studies import flags as studies_flags
from speccascade.studies import flips

_CONFIG = studies_flags.define_config(__file__)
_JOIN = job.define_flags()


def main():
  """Decodes in both types and prints the tables."""
  _JOIN()
  print(flips.run(config.parse(flips.Flips, _CONFIG.value)))


if __name__ == '__main__':
  command_line.run(main, 'flips')
