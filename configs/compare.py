"""Decoding here and in transformers at batch sizes 1, 8 and 32.

python experiments/compare.py

About 12 minutes on two CPU cores with two draft lengths.
"""

from speccascade import config as config_lib
from speccascade.studies.compare import config as compare


def get_config():
  return config_lib.template(compare.Compare)
