"""A training step of Gemma 2 2B on eight chips of v5e.

python experiments/compile_training.py --config=configs/compile_training.py \
    --workdir=results/compile_training

Needs libtpu (pip install -e '.[aot]') and no TPU.
"""

from speccascade import config
from speccascade.studies import compile_training


def get_config():
  return config.template(
    compile_training.CompileTraining,
    models=('gemma2_2b',),
    topologies=('v5e:2x4',),
    meshes=((8, 1), (2, 4), (1, 8)),
    batch_size=8,
    length=2048,
  )
