"""Quality against latency and rejections, by temperature or by top-p.

python experiments/sweep.py --config=configs/tradeoff.py \
    --workdir=results/tradeoff
python experiments/sweep.py --config=configs/tradeoff.py:translation,top_p \
    --workdir=results/top_p

The argument is pair,temperature or pair,top_p. On two CPU cores translation
takes about 8 minutes by temperature and 5 by top-p.
"""

from speccascade import config as config_lib
from speccascade.sweeps import config as sweeps

_METHODS = {
  'strict': (),
  'chow': (0.02, 0.1, 0.3),
  'opt': (-0.2, 0.0, 0.3),
  'token_v3': (0.3, 0.9, 0.99),
  'lossy': (0.2, 0.5, 0.9),
}
_AXES = {
  'temperature': dict(
    methods=_METHODS | {'diff': (-0.2, 0.2), 'top_p': (0.7, 0.9)},
    gammas=(3, 5, 7),
    temperatures=(0.0, 0.1, 0.5, 1.0),
  ),
  'top_p': dict(
    methods=_METHODS,
    gammas=(5,),
    temperatures=(1.0,),
    top_ps=(0.5, 0.8, 0.9, 1.0),
  ),
}


def get_config(arg='translation,temperature'):
  pair, _, axis = arg.partition(',')
  if (axis or 'temperature') not in _AXES:
    raise ValueError(f'{arg!r}: the argument is pair,temperature or pair,top_p')
  return config_lib.template(
    sweeps.Sweep,
    pair=pair,
    task=pair,
    task_args={'seed': 0},
    num_examples=400,
    latency_examples=6,
    trials=4,
    **_AXES[axis or 'temperature'],
  )
