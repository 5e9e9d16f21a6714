import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from speccascade import sharding
from speccascade.models import cache as cache_lib


def test_slots():
  # A ring if shorter than all that is to be held; room for a block each way.
  # Other slots are filled up to a multiple of 32.
  assert cache_lib.num_slots(None, 20, 3, 9) == (32, False)
  assert cache_lib.num_slots(None, 29, 3, 9) == (32, False)
  assert cache_lib.num_slots(None, 30, 3, 9) == (64, False)
  assert cache_lib.num_slots(5, 20, 3, 2) == (8, True)
  assert cache_lib.num_slots(20, 20, 3, 2) == (32, False)
  # Room for a chunk, too, of which a ring holds whole ones.
  assert cache_lib.num_slots(5, 40, 3, 4) == (12, True)
  assert cache_lib.num_slots(5, 15, 3, 9) == (32, False)


def test_chunks_hold_a_prompt_and_fit_a_window():
  """Many tokens of few rows, few of many; half a window at most."""
  assert cache_lib.chunks(1, 1024) == (1, 1024)
  assert cache_lib.chunks(8, 1024) == (8, 128)
  assert cache_lib.chunks(512, 1024) == (32, 32)
  assert cache_lib.chunks(1, 1030, 512) == (5, 206)
  assert cache_lib.chunks(1, 8192, 4096) == (8, 1024)
  for rows in (1, 3, 64):
    for width in range(1, 400, 7):
      number, chunk = cache_lib.chunks(rows, width, 128)
      assert 0 <= number * chunk - width < number
      assert chunk <= 64


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_chunks_are_of_the_rows_of_a_device():
  for data, rows in ((8, 8), (2, 32), (1, 64)):
    mesh = sharding.make_mesh(data, 8 // data, jax.devices()[:8])
    with jax.set_mesh(mesh):
      found = cache_lib.chunks(64, 1024)
    assert found == cache_lib.chunks(rows, 1024)


def test_slot_positions():
  np.testing.assert_array_equal(
    cache_lib.slot_positions(jnp.array([0, 2, 4, 6]), 4, 4),
    [[-4, -3, -2, -1], [0, 1, -2, -1], [0, 1, 2, 3], [4, 5, 2, 3]],
  )


def test_causal_mask():
  mask = cache_lib.causal_mask(
    jnp.array([[3, 4]]), jnp.array([[4, 5, 2, 3, -1]]), 2
  )
  np.testing.assert_array_equal(
    mask[0],
    [[False, False, True, True, False], [True, False, False, True, False]],
  )


@pytest.mark.parametrize('ring', [False, True])
def test_append_writes_a_block_at_each_row_s_end(ring):
  """Of one layer and nothing else; a ring wraps where a slice would clamp."""
  stack = -jnp.ones((2, 3, 1, 5, 1))
  new = 10.0 * jnp.arange(3)[:, None, None, None] + jnp.arange(2)[:, None]
  start = jnp.array([0, 3, 9 if ring else 2])
  got = np.asarray(cache_lib.append(stack, 1, new, start, ring))
  want = -np.ones((2, 3, 1, 5, 1))
  want[1, 0, 0, [0, 1], 0] = [0, 1]
  want[1, 1, 0, [3, 4], 0] = [10, 11]
  want[1, 2, 0, [4, 0] if ring else [2, 3], 0] = [20, 21]
  np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('ring', [False, True])
def test_fill_writes_a_chunk_of_every_row(ring):
  """Of one layer; what a ring holds of a row that has ended stays."""
  stack = -jnp.ones((2, 3, 1, 4, 1))
  new = 10.0 * jnp.arange(3)[:, None, None, None] + jnp.arange(2)[:, None]
  live = jnp.array([True, False, True])
  start = jnp.int32(6 if ring else 2)
  got = np.asarray(cache_lib.fill(stack, 1, new, start, live, ring))
  want = -np.ones((2, 3, 1, 4, 1))
  want[1, :, 0, 2:, 0] = [[0, 1], [-1, -1] if ring else [10, 11], [20, 21]]
  np.testing.assert_array_equal(got, want)


def test_tile_repeats_the_batch():
  cache = cache_lib.Cache(
    jnp.array([3, 1]),
    (jnp.arange(2.0).reshape(1, 2, 1, 1, 1),),
    (jnp.arange(2.0).reshape(1, 2, 1, 1, 1),),
    (False,),
  )
  wide = cache_lib.tile(cache, 2)
  np.testing.assert_array_equal(wide.length_B, [3, 1, 3, 1])
  np.testing.assert_array_equal(wide.keys[0].ravel(), [0, 1, 0, 1])
  np.testing.assert_array_equal(wide.values[0].ravel(), [0, 1, 0, 1])


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize('rows', [1, 3])
@pytest.mark.parametrize('ring', [False, True])
def test_a_loop_appends_in_place(rows, ring):
  """A compiled loop that appends to a cache and attends over it."""

  @jax.jit
  def loop(block_BxKxTxH, turns):
    def turn(i, carry):
      stack_LxBxKxSxH, y_BxKxTxH = carry
      start_B = jnp.arange(rows) + i
      stack_LxBxKxSxH = cache_lib.append(
        stack_LxBxKxSxH, 0, block_BxKxTxH + y_BxKxTxH, start_B, ring
      )
      held_BxKxSxH = stack_LxBxKxSxH[0]
      weight = jnp.einsum('BKTH,BKSH->BKTS', block_BxKxTxH, held_BxKxSxH)
      y_BxKxTxH = jnp.einsum('BKTS,BKSH->BKTH', weight, held_BxKxSxH)
      return stack_LxBxKxSxH, y_BxKxTxH

    stack_LxBxKxSxH = jnp.zeros((1, rows, 2, 37, 4))
    return lax.fori_loop(0, turns, turn, (stack_LxBxKxSxH, block_BxKxTxH))

  text = loop.lower(jnp.ones((rows, 2, 3, 4)), 5).compile().as_text()
  assert f'[1,{rows},2,37,4]' in text
  assert not re.findall(r'37,4\]\S* (?:copy|scatter|concatenate)\(', text)


def _with_memory():
  stack = (jnp.arange(2.0).reshape(1, 2, 1, 1, 1),)
  memory = cache_lib.Memory(jnp.array([5, 4]), stack, stack)
  return cache_lib.Cache(jnp.array([3, 2]), stack, stack, (False,), memory)


def test_tile_repeats_memory():
  wide = cache_lib.tile(_with_memory(), 2)
  np.testing.assert_array_equal(wide.length_B, [3, 2, 3, 2])
  np.testing.assert_array_equal(wide.memory.length_B, [5, 4, 5, 4])
  np.testing.assert_array_equal(wide.memory.keys[0].ravel(), [0, 1, 0, 1])
  np.testing.assert_array_equal(wide.memory.values[0].ravel(), [0, 1, 0, 1])


def test_rewind_leaves_memory_alone():
  cache = _with_memory()
  back = cache_lib.rewind(cache, jnp.array([1, 0]))
  np.testing.assert_array_equal(back.length_B, [1, 0])
  assert back.memory is cache.memory
