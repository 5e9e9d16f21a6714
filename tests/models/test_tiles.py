import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade.models import tiles


def test_kernels_of_attention_are_laid_out_by_head():
  """Where a platform wants it; values stay, and programs take them so."""
  x = jnp.arange(2.0 * 3 * 4 * 128).reshape(2, 3, 4, 128)
  want = np.asarray(x).copy()
  assert tiles.laid_out('query', x) is x  # No TPU.
  assert tiles.laid_out('out', x, platform='cpu') is x
  y = tiles.laid_out('query', x, platform='cpu')
  assert y.format.layout.major_to_minor == (0, 2, 1, 3)
  np.testing.assert_array_equal(y, want)
  np.testing.assert_array_equal(jax.jit(lambda y: y + 1)(y), want + 1)
  # Heads that are narrower than a tile lie across it.
  single = tiles.laid_out('value', jnp.ones((3, 4, 64)), platform='cpu')
  assert single.format.layout.major_to_minor == (1, 2, 0)
  like = jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=y.sharding)
  placed = tiles.laid_out('key', like, platform='cpu')
  assert placed.format.layout.major_to_minor == (0, 2, 1, 3)


@pytest.mark.parametrize(
  ('slots', 'width', 'along'),
  [
    (1184, 128, 'H'),
    (1184, 256, 'H'),
    (96, 128, 'H'),
    (1184, 64, 'S'),
    (160, 64, 'S'),
    (32, 64, 'H'),  # Slots fill less of a tile than heads.
    (160, 96, 'H'),
  ],
)
def test_keys_lie_along_tiles_as_they_fill_them(
  slots, width, along, monkeypatch
):
  """A part of a stack lies as the stack does."""
  made = []
  monkeypatch.setattr(tiles, '_constrained', lambda x, axes: made.append(axes))
  tiles.in_tiles(jnp.zeros((2, 3, slots, width)), slots)
  tiles.in_tiles(jnp.zeros((3, 6, width)), slots)
  last = {'H': (0, 1), 'S': (1, 0)}[along]
  assert made == [(0, 1, *(2 + i for i in last)), (0, *(1 + i for i in last))]
