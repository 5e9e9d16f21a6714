"""Key-value caches: explicit values, appended in place, rewound by length.

A cache is stacks of shape LxBxKxSxH and one length a row. Rewinding only
lowers the lengths: attention masks by position and the next block overwrites.
Shape letters are those of `speccascade.models`.
"""

import functools
import math

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.models import tiles

_CHUNK = 1024  # Tokens of a prompt's chunk, over all rows,
_SHORT = 32  # and of a row at least.
_SMALL = 256  # Reading fewer slots costs less than choosing among them.
# On a GPU a choice waits for the host, about as long as reading so many bytes.
_WAIT = 2**25
_ALIGN = 32  # Slots are a multiple of, and what is read in part.


@flax.struct.dataclass
class Memory:
  """Keys and values of an encoded input; `extend` does not write them.

  Attributes:
    length_B: input tokens of each row, int32.
    keys: one LxBxKxSxH array a stack of layers, S the width of the input.
    values: as `keys`.
  """

  length_B: jax.Array
  keys: tuple[jax.Array, ...]
  values: tuple[jax.Array, ...]


@flax.struct.dataclass
class Cache:
  """Keys and values of the first `length_B` tokens of each row.

  Attributes:
    length_B: tokens of each row, int32.
    keys: one LxBxKxSxH array a stack of layers.
    values: as `keys`.
    rings: for each stack, whether its slots are reused (sliding windows).
    memory: what cross-attention reads; None for a decoder alone.
  """

  length_B: jax.Array
  keys: tuple[jax.Array, ...]
  values: tuple[jax.Array, ...]
  rings: tuple[bool, ...] = flax.struct.field(pytree_node=False)
  memory: Memory | None = None


def rewind(cache, length_B):
  """Shortens rows to `length_B` tokens without copying or zeroing."""
  return cache.replace(length_B=length_B)


def tile(cache, copies):
  """Repeats the batch `copies` times: row b is also rows b + B, b + 2B, ..."""
  if copies == 1:
    return cache
  # B is the only axis of lengths and the second of stacks.
  tiled = lambda x: jnp.concatenate([x] * copies, min(1, x.ndim - 1))  # noqa: E731
  return jax.tree.map(tiled, cache)


def put(cache, row, other, other_row, rows, filled, *, shared=False):
  """Copies rows of a cache into another one that is no shorter, in place.

  Shorter stacks may be no rings where the others are: what is read then lies in
  the first slots of either.

  Args:
    cache: that is written to.
    row: the first that is written.
    other: cache that is read.
    other_row: the first that is read.
    rows: how many; a number known to the compiler, as `filled` is.
    filled: slots that may hold tokens, of stacks that are no rings.
    shared: whether rows are copied from the cache, as of `empty`.

  Returns:
    The cache, its lengths as they were.
  """
  to, out_of, zero = (jnp.asarray(i, jnp.int32) for i in (row, other_row, 0))

  def copy(x, y, ring):
    L, _, K, _, H = y.shape
    S = min(x.shape[3], y.shape[3])
    size = L, rows, K, S if ring else min(S, filled), H
    part = lax.dynamic_slice(y, (zero, out_of, zero, zero, zero), size)
    at = (zero, to, zero, zero, zero)
    part = tiles.in_tiles(part, x.shape[3])
    part = sharding.constrain(part, sharding.STORE)
    x = lax.dynamic_update_slice(x, part, at)
    x = tiles.in_tiles(x, x.shape[3])
    return sharding.constrain(x, sharding.STORE if shared else sharding.CACHE)

  def all_of(xs, ys, rings):
    return tuple(map(copy, xs, ys, rings))

  if cache.memory is None:
    return cache.replace(
      keys=all_of(cache.keys, other.keys, cache.rings),
      values=all_of(cache.values, other.values, cache.rings),
    )
  # What a decoder after an encoder has of a prompt lies in its memory alone.
  whole = (True,) * len(cache.memory.keys)
  length_B = lax.dynamic_update_slice(
    cache.memory.length_B,
    lax.dynamic_slice(other.memory.length_B, (out_of,), (rows,)),
    (to,),
  )
  memory = Memory(
    length_B,
    all_of(cache.memory.keys, other.memory.keys, whole),
    all_of(cache.memory.values, other.memory.values, whole),
  )
  return cache.replace(memory=memory)


def divide(cache, shared=False):
  """Divides a cache for the next call: stacks as `empty` does, lengths by rows.

  Args:
    cache: Cache.
    shared: whether rows are copied from it, as of `empty`; then no lengths are.
  """
  spec = sharding.STORE if shared else sharding.CACHE
  lengths = sharding.P(None) if shared else sharding.BATCH
  return jax.tree.map(
    lambda x: sharding.constrain(x, spec if x.ndim == len(spec) else lengths),
    cache,
  )


def chunks(rows, width, window=None):
  """Returns how prompts are read: (chunks, tokens of each chunk of a row).

  So many tokens of a device that weights are worth reading, and so few that the
  logits of attention take little memory.

  Args:
    rows: of the batch.
    width: tokens that prompts are padded to.
    window: the narrowest of sliding windows; rings have room for a chunk.
  """
  (own,) = sharding.own_shape((rows,), sharding.BATCH)
  size = max(_CHUNK // own, _SHORT)
  if window is not None:
    size = min(size, max(window // 2, _SHORT))
  number = -(-width // size)
  return number, -(-width // number)


def num_slots(window, capacity, block, chunk):
  """Returns how many slots a layer needs for `capacity` tokens and a block.

  A ring has room for a window and a block: a block that is later rewound has
  then overwritten only keys that were already outside every window. Chunks of
  a prompt fill it without wrapping, so it is made of whole ones. Other slots
  are a multiple of 32, so that rows of scores begin at multiples of 16 bytes.

  Args:
    window: sliding-window width in tokens, or None for global attention.
    capacity: most tokens of a row, prompt and answer.
    block: longest block that `extend` will be given.
    chunk: tokens of a prompt that are read at a time.

  Returns:
    (slots, whether they form a ring).
  """
  full = capacity + block
  if window is not None:
    ring = -(-(window + max(block, chunk)) // chunk) * chunk
    if ring < full:
      return ring, True
  return -(-full // _ALIGN) * _ALIGN, False


def empty(layers, rows, heads, slots, width, dtype, *, shared=False):
  """Returns LxBxKxSxH keys or values of nothing, placed on the mesh.

  Args:
    layers: L.
    rows: B.
    heads: K.
    slots: S.
    width: H.
    dtype: of both.
    shared: whether rows are copied from it, to any device.
  """
  shape = layers, rows, heads, slots, width
  spec = sharding.STORE if shared else sharding.CACHE
  return sharding.constrain(jnp.zeros(shape, dtype), spec)


def fill(stack_LxBxKxSxH, layer, new_BxKxTxH, start, live_B, ring):
  """Writes a chunk of prompts into one layer, in place.

  A stack keeps its order in memory on a TPU. Left to itself, the compiler takes
  the one that suits short blocks, and copies the stack for each chunk.

  Args:
    stack_LxBxKxSxH: keys or values of a stack.
    layer: which of the L.
    new_BxKxTxH: those of tokens `start` to `start` + T - 1 of every row.
    start: a multiple of T.
    live_B: rows of which at least one of these tokens counts. What does not is
      overwritten before it can be seen, but in a ring may lie over what can: so
      the other rows of a ring stay as they are.
    ring: whether position t lies in slot t mod S.
  """
  layer, zero = jnp.asarray(layer, start.dtype), jnp.zeros_like(start)
  if ring:
    start = start % stack_LxBxKxSxH.shape[3]
    old_1xBxKxTxH = lax.dynamic_slice(
      stack_LxBxKxSxH,
      (layer, zero, zero, start, zero),
      (1, *new_BxKxTxH.shape),
    )
    new_BxKxTxH = jnp.where(
      live_B[:, None, None, None], new_BxKxTxH, old_1xBxKxTxH[0]
    )

  def by_row(stack_LxBxKxSxH, new_BxKxTxH, start):
    start_B = jnp.full(live_B.shape, start)
    return _write_by_row(stack_LxBxKxSxH, new_BxKxTxH, start_B, layer=layer)

  def at_once(stack_LxBxKxSxH, new_BxKxTxH, start):
    at = (layer, zero, zero, start, zero)
    slots = stack_LxBxKxSxH.shape[3]
    new_1xBxKxTxH = tiles.in_tiles(new_BxKxTxH, slots)[None]
    return tiles.in_tiles(
      lax.dynamic_update_slice(stack_LxBxKxSxH, new_1xBxKxTxH, at), slots
    )

  return lax.platform_dependent(
    stack_LxBxKxSxH, new_BxKxTxH, start, cpu=by_row, default=at_once
  )


def append(stack_LxBxKxSxH, layer, new_BxKxTxH, start_B, ring):
  """Writes a block of one layer at each row's position, in place.

  `vmap` of `dynamic_update_slice` compiles to an in-place update on TPU; an
  indexed `.at[].set` copies the whole cache there.
  """
  layer = jnp.asarray(layer, start_B.dtype)
  write = functools.partial(
    lax.platform_dependent,
    cpu=functools.partial(_write_by_row, layer=layer),
    default=functools.partial(_write, layer=layer),
  )
  if not ring:
    return write(stack_LxBxKxSxH, new_BxKxTxH, start_B)
  slots, T = stack_LxBxKxSxH.shape[3], new_BxKxTxH.shape[2]
  for t in range(T):  # A block may wrap, which a slice update would clamp.
    slot_B = (start_B + t) % slots
    stack_LxBxKxSxH = write(
      stack_LxBxKxSxH, new_BxKxTxH[:, :, t : t + 1], slot_B
    )
  return stack_LxBxKxSxH


def _write(stack_LxBxKxSxH, new_BxKxTxH, start_B, *, layer):
  zero = jnp.zeros_like(layer)

  def write(stack_LxKxSxH, new_KxTxH, start):
    return lax.dynamic_update_slice(
      stack_LxKxSxH, new_KxTxH[None], (layer, zero, start, zero)
    )

  write = jax.vmap(write, in_axes=(1, 0, 0), out_axes=1)
  # As it lies, lest one write wants another order than the next: each then
  # copies the stack.
  written = write(stack_LxBxKxSxH, new_BxKxTxH, start_B)
  return tiles.in_tiles(written, stack_LxBxKxSxH.shape[3])


def _write_by_row(stack_LxBxKxSxH, new_BxKxTxH, start_B, *, layer):
  # XLA's CPU backend turns vmap's update into a scatter, which copies the
  # cache, and fuses a single update into both of its readers, each with a copy.
  # A loop over rows updates in place, unless XLA knows that it has one turn.
  zero = jnp.zeros_like(layer)

  def write_row(row, stack_LxBxKxSxH):
    new_1x1xKxTxH = lax.dynamic_slice_in_dim(new_BxKxTxH, row, 1)[None]
    at = (layer, row, zero, start_B[row], zero)
    return lax.dynamic_update_slice(stack_LxBxKxSxH, new_1x1xKxTxH, at)

  turns = jnp.minimum(start_B[0], 0) + start_B.shape[0]
  return lax.fori_loop(zero, turns, write_row, stack_LxBxKxSxH)


def read(function, stacks, layer, length, least=1):
  """Calls `function` with the slots of one layer that are live.

  Shapes are static, so a program has a branch for each of a few numbers of
  slots, and takes the smallest that holds the longest row.

  Args:
    function: maps a BxKxSxH array of each stack, its first S slots, to an
      array whose shape does not depend on S.
    stacks: LxBxKxSxH arrays of the same S.
    layer: which of the L.
    length: tokens of the longest row.
    least: of which it has so many at least.

  Returns:
    What `function` returns.
  """
  slots = stacks[0].shape[3]
  *some, every = (x for x in widths(slots) if x >= min(least, slots))

  @functools.partial(jax.jit, static_argnums=0)  # Traced once a width.
  def run(width, stacks):
    parts = (_first(x, layer, width) for x in stacks)
    return function(*(tiles.in_tiles(part, slots) for part in parts))

  def choose(some, length, stacks):
    if not some:
      return run(every, stacks)
    chosen = (length > jnp.array(some)).sum()
    branches = [functools.partial(run, width) for width in (*some, every)]
    return lax.switch(chosen, branches, stacks)

  if not some:
    return run(every, stacks)
  size = sum(map(_slot_size, stacks))
  worth = [width for width in some if size * width > _WAIT]
  return lax.platform_dependent(
    length,
    stacks,
    cuda=functools.partial(choose, worth),
    rocm=functools.partial(choose, worth),
    default=functools.partial(choose, some),
  )


def _slot_size(x_LxBxKxSxH):
  """Bytes of one slot of a layer, of all rows that a device has of a batch."""
  own = sharding.own_shape(x_LxBxKxSxH.shape, sharding.CACHE)
  return math.prod(own) // (own[0] * own[3]) * x_LxBxKxSxH.dtype.itemsize


def widths(slots):
  """Numbers of slots that a program may read, the last of them all.

  Each is a quarter of the next: XLA's CPU backend copies what is read in part,
  so that half would take about as long as all.
  """
  least = [slots]
  while slots >= _SMALL and least[0] >= 4 * _ALIGN:
    least.insert(0, -(-least[0] // (4 * _ALIGN)) * _ALIGN)
  return tuple(least)


def _first(x_LxBxKxSxH, layer, width):
  """The first slots of a layer, in one step: a layer is large."""
  _, *rest, _, H = x_LxBxKxSxH.shape
  start = (layer, 0, 0, 0, 0)
  return lax.dynamic_slice(x_LxBxKxSxH, start, (1, *rest, width, H))[0]


def slot_positions(length_B, slots, width):
  """Returns the position of the newest token that each slot may hold.

  Args:
    length_B: tokens written so far.
    slots: of the cache; position t lies in slot t mod `slots`.
    width: S, of the first slots that are asked for.

  Returns:
    BxS positions below `length_B`; negative where nothing was written.
  """
  last_Bx1 = length_B[:, None] - 1
  slot_1xS = jnp.arange(width)[None]
  return last_Bx1 - (last_Bx1 - slot_1xS) % slots


def causal_mask(query_BxT, key_BxS, window):
  """Returns mask_BxTxS: keys 0 to `window` - 1 tokens before the query."""
  distance_BxTxS = query_BxT[:, :, None] - key_BxS[:, None, :]
  mask_BxTxS = (distance_BxTxS >= 0) & (key_BxS[:, None, :] >= 0)
  if window is not None:
    mask_BxTxS &= distance_BxTxS < window
  return mask_BxTxS
