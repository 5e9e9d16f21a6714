"""What bfloat16 changes in 100 word problems.

python experiments/flips.py

About 2 minutes on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.studies import flips


def get_config():
  return config_lib.template(flips.Flips)
