"""The paper's pairs, one of Gemma 3 and one of Qwen3, on slices of TPU.

python experiments/compile_tpu.py --config=configs/compile_tpu.py \
    --workdir=results/compile_tpu

Needs libtpu (pip install -e '.[aot]') and no TPU. A version stands for its
slices; the smallest that fits is told.
"""

from speccascade import config as config_lib
from speccascade.studies import compile_tpu

_PAIRS = (
  ('t5_v1_1_small', 't5_v1_1_large'),
  ('t5_v1_1_small', 't5_v1_1_xl'),
  ('gemma2_2b', 'gemma2_9b'),
  ('gemma2_2b', 'gemma2_27b'),
  ('gemma3_1b', 'gemma3_27b'),
  ('qwen3_0_6b', 'qwen3_14b'),
)


def get_config():
  return config_lib.template(
    compile_tpu.CompileTpu,
    pairs=_PAIRS,
    topologies=('v5e', 'v5p', 'v6e', 'tpu7x'),
    batch_sizes=(1, 8, 64),
    prompts=(1024, 8192),
  )
