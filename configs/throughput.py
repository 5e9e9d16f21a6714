"""Requests to the shipped pair, at 1 to 64 slots.

python experiments/throughput.py --workdir=results/throughput

All at once; --config.rates='(2.0, 8.0)' has them arrive in time.
"""

from speccascade import config as config_lib
from speccascade.studies import throughput


def get_config():
  return config_lib.template(throughput.Throughput)
