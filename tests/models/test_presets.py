"""The published sizes have the published numbers of parameters."""

import jax
import numpy as np
import pytest

from speccascade.models import registry
from speccascade.models.gemma2 import config as gemma2
from speccascade.models.gemma3 import config as gemma3
from speccascade.models.gemma4 import config as gemma4
from speccascade.models.llama import config as llama
from speccascade.models.qwen2 import config as qwen2
from speccascade.models.qwen3 import config as qwen3
from speccascade.models.t5 import config as t5


@pytest.mark.parametrize(
  ('preset', 'parameters'),
  [
    (gemma2.gemma2_2b, 2_614_341_888),
    (gemma2.gemma2_9b, 9_241_705_984),
    (gemma2.gemma2_27b, 27_227_128_320),
    (gemma3.gemma3_270m, 268_098_176),
    (gemma3.gemma3_1b, 999_885_952),
    (gemma3.gemma3_4b, 3_880_263_168),
    (gemma3.gemma3_12b, 11_766_034_176),
    (gemma3.gemma3_27b, 27_009_346_304),
    (
      gemma4.gemma4_31b,
      30_697_345_280 + 60,
    ),  # A scalar a layer is not counted.
    (llama.smollm2_135m, 134_515_008),
    (llama.smollm2_360m, 361_821_120),
    (llama.smollm2_1_7b, 1_711_376_384),
    (qwen2.qwen2_5_0_5b, 494_032_768),
    (qwen2.qwen2_5_1_5b, 1_543_714_304),
    (qwen2.qwen2_5_3b, 3_085_938_688),
    (qwen2.qwen2_5_7b, 7_615_616_512),
    (qwen2.qwen2_5_14b, 14_770_033_664),
    (qwen2.qwen2_5_32b, 32_763_876_352),
    (qwen2.qwen2_5_72b, 72_706_203_648),
    (qwen3.qwen3_0_6b, 596_049_920),
    (qwen3.qwen3_1_7b, 1_720_574_976),
    (qwen3.qwen3_4b, 4_022_468_096),
    (qwen3.qwen3_8b, 8_190_735_360),
    (qwen3.qwen3_14b, 14_768_307_200),
    (qwen3.qwen3_32b, 32_762_123_264),
    (t5.t5_v1_1_small, 76_961_152),
    (t5.t5_v1_1_base, 247_577_856),
    (t5.t5_v1_1_large, 783_150_080),
    (t5.t5_v1_1_xl, 2_849_757_184),
    (t5.t5_v1_1_xxl, 11_135_332_352),
    (t5.t5_small, 60_506_624),
    (t5.t5_base, 222_903_552),
    (t5.t5_large, 737_668_096),
    (t5.t5_3b, 2_851_598_336),
    (t5.t5_11b, 11_307_321_344),
  ],
  ids=lambda x: getattr(x, '__name__', ''),
)
def test_preset_sizes(preset, parameters):
  model = registry.make_model(preset())
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  sizes = [np.prod(x.shape, dtype=int) for x in jax.tree.leaves(shapes)]
  assert sum(sizes) == parameters
