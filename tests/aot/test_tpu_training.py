"""A training step, compiled for eight chips that are not there.

Gemma 2 2B compiles for minutes; a small one stands for it.
"""

import importlib.util

import pytest

from speccascade.aot import chips, training
from speccascade.models import presets

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]


_SMALL = dict(
  vocab_size=2**13, num_layers=2, embed_dim=256, num_heads=4, num_kv_heads=2,
  hidden_dim=1024,
)  # fmt: skip


@pytest.mark.parametrize(
  ('settings', 'mesh', 'length'),
  [
    (_SMALL, (2, 4), 256),
    pytest.param({}, (8, 1), 2048, marks=pytest.mark.large),
    pytest.param({}, (2, 4), 2048, marks=pytest.mark.large),
  ],
)
def test_a_step_fits_and_holds_its_part_alone(settings, mesh, length):
  model = presets.get('gemma2_2b', **settings)
  cell = training.Cell(model, None, 'v5e:2x4', mesh, 8, length)
  found = training.of(cell)
  D, F, V = model.embed_dim, model.hidden_dim, model.vocab_size
  kernels = 2 * (model.num_heads + model.num_kv_heads) * model.head_dim + 3 * F
  params = (V + model.num_layers * (kernels + 4)) * D + D
  # Parameters and two moments in float32, and a batch that is small beside.
  assert found['arguments'] == pytest.approx(3 * 4 * params / 8, rel=1e-2)
  assert found['donated'] == pytest.approx(found['arguments'], rel=1e-2)
  assert found['peak'] < chips.CHIPS['v5e'].hbm
