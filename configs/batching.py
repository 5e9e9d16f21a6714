"""Slots beside fixed batches, and 8 rules x 16 values beside their points.

python experiments/batching.py --workdir=results/batching

--config.grid_trials=0 leaves out the grid.
"""

from speccascade import config as config_lib
from speccascade.studies import batching

_SHARES = tuple(i / 17 for i in range(1, 17))  # Of what a parameter may be.


def get_config():
  return config_lib.template(
    batching.Batching,
    methods={
      'token_v3': _SHARES,
      'token_v1': _SHARES,
      'token_v2': _SHARES,
      'chow': _SHARES,
      'diff': tuple(2 * x - 1 for x in _SHARES),
      'opt': tuple(2 * x - 1 for x in _SHARES),
      'lossy': _SHARES,
      'bild': tuple(4 * x for x in _SHARES),
    },
  )
