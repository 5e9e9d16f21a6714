"""One verifier with drafters of different strength.

python experiments/sweep.py --workdir=results/drafters \
    --config=configs/drafters.py:word_problems,/tmp/weak/weak.safetensors

The argument is pair[,drafter...]: a shipped pair and checkpoints of other
drafters for its verifier, as `configs/distill.py` makes them with
`--config.name=weak`. Each has a cell, named by its file, beside that of the
pair's own drafter. About 10 minutes a drafter on two CPU cores.
"""

import pathlib

import ml_collections

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps

_METHODS = {
  'strict': (),
  'chow': (0.02,),
  'opt': (-0.2, -0.05),
  'token_v2': (0.1, 0.3),
  'token_v3': (0.1, 0.3, 0.6, 0.9),
  'lossy': (0.2, 0.5),
  'typical': (0.5, 0.8),
  'fsd_js': (0.02,),
  'top_p': (0.9,),
}


def get_config(arg='word_problems'):
  pair, *drafters = arg.split(',')
  if pair not in ('word_problems', 'translation'):
    raise ValueError(f'{pair!r}: the pair is word_problems or translation')
  cells = {pair: _cell(pair)}
  for drafter in drafters:
    name = pathlib.PurePath(drafter).stem
    if not name or name in cells:
      raise ValueError(
        f'drafter {drafter!r}: the name of its file must be its own'
      )
    cells[name] = _cell(pair, drafter)
  return ml_collections.ConfigDict({'cells': cells})


def _cell(pair, drafter=None):
  return config_lib.template(
    sweeps.Sweep,
    pair=pair,
    drafter=drafter,
    task=pair,
    task_args={'seed': 0},
    num_examples=400,
    methods=_METHODS,
    gammas=(2, 4, 8, 16),
    temperatures=(0.0, 1.0),
    latency_examples=8,
    trials=2,
  )
