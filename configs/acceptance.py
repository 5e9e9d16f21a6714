"""Acceptance of the pair's own drafter on 500 word problems.

python experiments/acceptance.py

About 2 minutes on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.studies import acceptance


def get_config():
  return config_lib.template(acceptance.Acceptance)
