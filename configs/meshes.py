"""Gemma 2 2B for 27B, shapes with random weights, on meshes of eight devices.

python experiments/meshes.py --config=configs/meshes.py \
    --workdir=results/meshes

Needs eight accelerators of 80 GB. On others:
--config.meshes='((1, 2), (2, 1))'.
"""

from speccascade import config as config_lib
from speccascade.studies import meshes


def get_config():
  return config_lib.template(
    meshes.Meshes,
    meshes=((1, 8), (2, 4), (8, 1)),
    batch_sizes=(1, 8, 64),
    prompts=(1024, 8000),
  )
