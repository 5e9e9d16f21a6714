"""One answer, token by token, of token_v3 on a word problem.

python experiments/generate.py

About half a minute on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.studies import show


def get_config():
  return config_lib.template(show.Show)
