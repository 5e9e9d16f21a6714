"""Eight answers to each of 100 problems, of the shipped pair.

python experiments/samples.py --workdir=results/samples

A real benchmark: --config.task=gsm8k --config.task_args="{'path': 'FOLDER'}"
--config.pair=None --config.drafter=DIR --config.verifier=DIR.
"""

from speccascade import config as config_lib
from speccascade.studies import samples


def get_config():
  return config_lib.template(samples.Samples)
