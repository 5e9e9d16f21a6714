"""Layouts that are asked for, beside those that the compiler takes itself."""

import importlib.util
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.aot import program
from speccascade.models import tiles

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]


@pytest.mark.parametrize('topology', ['v5e:1x1', 'v5p:2x2x1', 'tpu7x:2x2x1'])
def test_keys_lie_as_programs_hand_them_on(topology, monkeypatch):
  """What a program takes and gives has the order that is the device's own."""
  device, *_ = program.devices(topology)
  made = []
  monkeypatch.setattr(tiles, '_constrained', lambda x, axes: made.append(axes))
  for rows, heads, slots, width in itertools.product(
    (1, 8), (1, 4), (32, 160, 1184, 8192), (64, 96, 128)
  ):
    shape, dtype = (24, rows, heads, slots, width), np.dtype(jnp.bfloat16)
    own = device.client.get_default_layout(dtype, shape, device)
    tiles.in_tiles(jax.ShapeDtypeStruct(shape, dtype), slots)
    order = ','.join(map(str, reversed(made[-1])))
    assert str(own).startswith('{' + order + ':'), shape
