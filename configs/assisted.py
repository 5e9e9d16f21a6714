"""Gemma 2 2B assists 27B in transformers, shapes with random weights.

python experiments/assisted.py

Needs one accelerator of 80 GB, and pip install -e '.[compare]'.
"""

from speccascade import config as config_lib
from speccascade.studies import assisted


def get_config():
  return config_lib.template(assisted.Assisted)
