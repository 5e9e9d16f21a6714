"""Gemma 2 2B for 27B, shapes with random weights, at 1 to 256 slots.

python experiments/load.py --workdir=results/load

Needs an accelerator of 141 GB; at 64 slots one of 80 GB does.
"""

from speccascade import config as config_lib
from speccascade.studies import load


def get_config():
  return config_lib.template(load.Load)
