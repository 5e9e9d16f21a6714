"""Iterations of every schedule over their parts, at batch sizes 1 and 8.

python experiments/benchmark.py

About 10 minutes on two CPU cores.
"""

from speccascade import config as config_lib
from speccascade.studies import benchmark


def get_config():
  return config_lib.template(benchmark.Benchmark)
