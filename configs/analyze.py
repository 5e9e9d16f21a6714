"""Rejections of strict and token_v3, token by token, on 100 word problems.

python experiments/analyze.py --out=results/analysis

About half a minute on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.studies.tokens import config as tokens


def get_config():
  return config_lib.template(tokens.Tokens)
