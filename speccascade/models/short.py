"""Kernels of ours in which a GPU takes a block of few tokens.

XLA makes a kernel of each sum: a norm takes two or three, attention over a
cache seven. Of few tokens each takes longer to start than to run. Shape letters
are those of `speccascade.models`.

They are Pallas's for Triton. GPUs that have not run them, and a version of JAX
without them, leave all to XLA, as other platforms do.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding

try:
  from jax.experimental import pallas as pl
  from jax.experimental.pallas import triton
except ImportError:
  triton = None

_INTERPRET = False
# Of float32 Triton's products would take but the leading bits.
_TYPES = (jnp.bfloat16,)
_CAPABILITIES = ('9.0',)  # Of GPUs that have run them: H100 and H200.
_WARPS = 4
_TOKENS = 48  # Of all rows, at most: of more none was timed.
_PART = 1024  # Numbers of a norm that are taken at a time, at most,
_TIMES = 32  # and how often, as code that is not looped over.
_PARTS = 32  # Of the keys, each by a block of threads, at most,
_BLOCKS = 512  # and about as many blocks of threads.
_TILE = 2**14  # Numbers of the keys that a block reads at a time,
_KEYS = 64  # and keys.
_LEAST = 16  # Rows of a product, at least.
_MOST = 2**13  # Numbers of its result, at most: of more none was timed.
_MIXED = 64  # Numbers of a head that are mixed at a time.
_NEVER = -1e30


def takes(x_BxTxD: jax.Array) -> bool:
  """Whether the kernels take a block: few tokens in a type of theirs.

  Devices that divide its rows would gather them for a kernel.
  """
  B, T, D = shape = x_BxTxD.shape
  fits = x_BxTxD.dtype in _TYPES and D // _part(D) <= _TIMES
  whole = sharding.own_shape(shape, sharding.HIDDEN) == shape
  return B * T <= _TOKENS and fits and whole and _has_run()


def _has_run():
  """Whether a GPU of this process has."""
  if triton is None or jax.default_backend() != 'gpu':
    return False
  device = jax.local_devices()[0]
  return getattr(device, 'compute_capability', None) in _CAPABILITIES


def _part(width):
  """Numbers that are taken at a time: a power of two that divides all."""
  return min(width & -width, _PART)


def attends(tokens: int, heads: int, width: int, layers: int) -> bool:
  """Whether `attend` takes a block.

  Args:
    tokens: T of a row.
    heads: N / K, queries of a key.
    width: H.
    layers: L of the stack that holds the keys.
  """
  even = width & (width - 1) == 0 and width >= 2 * _LEAST
  rows = _power(tokens * heads)
  return even and rows * max(width, _KEYS) <= _MOST and layers == 1


def _parts(pairs):
  """Parts of the keys of so many heads of all rows: a power of two."""
  most = max(_BLOCKS // pairs, 1)
  return min(_PARTS, 1 << most.bit_length() - 1)


def join(x_BxTxD, y_BxTxD, after_D, before_D, *, epsilon, offset):
  """Adds a branch and takes the norm of the sum, in one kernel.

  Args:
    x_BxTxD: residual stream.
    y_BxTxD: what is added to it; None if nothing is.
    after_D: scale of the norm of y; None if it has none.
    before_D: scale of the norm of the sum; None if none is asked for.
    epsilon: added to mean squares.
    offset: added to scales.

  Returns:
    (the sum, its norm), x and None where they are not asked for.
  """
  *_, D = shape = x_BxTxD.shape
  dtype, rows = x_BxTxD.dtype, x_BxTxD.size // D
  part = _part(D)
  starts = range(0, D, part)
  given = [x_BxTxD, y_BxTxD, after_D, before_D]
  asked = y_BxTxD is not None, before_D is not None

  def rounded(x):  # As XLA's kernels hand it on.
    return x.astype(dtype).astype(jnp.float32)

  def kernel(*refs):
    refs = iter(refs)
    x, y, after, before = [None if a is None else next(refs) for a in given]
    row = pl.program_id(0)

    def read(ref):
      at = (row,) if len(ref.shape) > 1 else ()
      return [ref[*at, pl.ds(i, part)].astype(jnp.float32) for i in starts]

    def norm(xs, scales):
      mean = jnp.sum(sum(x * x for x in xs)) / D
      factor = lax.rsqrt(mean + epsilon)
      pairs = zip(xs, scales, strict=True)
      return [rounded(x * factor * (offset + scale)) for x, scale in pairs]

    def write(xs):
      ref = next(refs)
      for i, x in zip(starts, xs, strict=True):
        ref[row, pl.ds(i, part)] = x.astype(dtype)

    xs = read(x)
    if y is not None:
      ys = read(y)
      if after is not None:
        ys = norm(ys, read(after))
      xs = [rounded(x + y) for x, y in zip(xs, ys, strict=True)]
      write(xs)
    if before is not None:
      write(norm(xs, read(before)))

  flat = [
    x if x.ndim == 1 else x.reshape(rows, D) for x in given if x is not None
  ]
  out = [jax.ShapeDtypeStruct((rows, D), dtype)] * sum(asked)
  made = iter(_call(kernel, (rows,), flat, out))
  made = [next(made).reshape(shape) if a else None for a in asked]
  return made[0] if asked[0] else x_BxTxD, made[1]


def attend(
  q_BxTxNxH, k_BxTxKxH, v_BxTxKxH, rotations, stacks, start_B,
  *, scale, cap, window, ring,
):  # fmt: skip
  """Appends a block to a cache in place, and attends over it.

  Blocks of threads mix a part of the keys each, a second kernel the parts.

  Args:
    q_BxTxNxH: queries, neither rotated nor scaled.
    k_BxTxKxH: keys, not rotated.
    v_BxTxKxH: values.
    rotations: sin_BxTxH/2 and cos_BxTxH/2, float32.
    stacks: keys and values of the cache, each 1xBxKxSxH.
    start_B: position of each row's first token. The cache has slots for all
      that follow.
    scale: of queries.
    cap: of logits, or None.
    window: tokens that are attended to, the token itself among them, or None.
    ring: whether position t lies in slot t mod S.

  Returns:
    (mixed_BxTxNxH, stacks).
  """
  B, T, N, H = q_BxTxNxH.shape
  K = stacks[0].shape[2]
  keys = min(_KEYS, max(_TILE // H, _LEAST))
  parts = _parts(B * K)
  stacks = [x[0] for x in stacks]
  qkv_BxTxMxH = jnp.concatenate([q_BxTxNxH, k_BxTxKxH, v_BxTxKxH], 2)
  rotations = [x.astype(jnp.float32) for x in rotations]
  out = [
    jax.ShapeDtypeStruct((parts, B, T, N, H), jnp.float32),
    jax.ShapeDtypeStruct((parts, B, T, N), jnp.float32),
    jax.ShapeDtypeStruct((parts, B, T, N), jnp.float32),
    *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in stacks),
  ]
  kernel = functools.partial(
    _attend, parts=parts, keys=keys, scale=scale, cap=cap, window=window,
    ring=ring,
  )  # fmt: skip
  *mixed, new_keys, new_values = _call(
    kernel, (K, parts, B),
    [qkv_BxTxMxH, *rotations, start_B.astype(jnp.int32), *stacks], out,
    aliases={4: 3, 5: 4},
  )  # fmt: skip
  width = min(H, _MIXED)
  mixed_BxTxNxH = _call(
    functools.partial(_merge, width=width), (N, H // width, B * T),
    [x.reshape(parts, B * T, *x.shape[3:]) for x in mixed],
    jax.ShapeDtypeStruct((B * T, N, H), q_BxTxNxH.dtype),
  ).reshape(B, T, N, H)  # fmt: skip
  return mixed_BxTxNxH, [x[None] for x in (new_keys, new_values)]


def _power(number):
  """So many or more rows, of which a product can be made."""
  return max(_LEAST, 1 << (number - 1).bit_length())


def _attend(
  qkv, sin, cos, starts, _, __, mixed, largest, total, keys_of, values_of,
  *, parts, keys, scale, cap, window, ring,
):  # fmt: skip
  """Mixes a part of the keys of a head; of part 0 are the block's own, too.

  Part 0 writes the block's slots, which no part reads: they are masked.
  """
  head, part, row = (pl.program_id(i) for i in range(3))
  _, K, S, H = keys_of.shape
  T, N, half, dtype = qkv.shape[1], qkv.shape[2] - 2 * K, H // 2, qkv.dtype
  group = N // K
  queries = _power(T * group)
  start = starts[row]
  low = 0, half

  def load(ref, *index, mask):
    """Rows of which `mask` says which there are, by columns."""
    return triton.load(ref.at[index], mask=mask, other=0)

  def columns(at, width, there):
    column = at + _upto(width)[None]
    return column, there[:, None] & (column >= 0)

  def rotated(token, there, at_head):
    """Halves of rows, of these tokens and heads, turned."""
    halves = []
    for at in low:
      column, mask = columns(at, half, there)
      index = row, token[:, None], at_head, column
      halves.append(load(qkv, *index, mask=mask).astype(jnp.float32))
    column, mask = columns(0, half, there)
    s, c = (load(x, row, token[:, None], column, mask=mask) for x in (sin, cos))
    a, b = halves
    return (a * c - b * s).astype(dtype), (b * c + a * s).astype(dtype)

  query = _upto(queries)
  own = query < T * group
  token = query // group
  at_head = (head * group + query % group)[:, None]
  q = [x * jnp.asarray(scale, dtype) for x in rotated(token, own, at_head)]
  new = _upto(1 if T == 1 else _power(T))
  there = new < T
  k = rotated(new, there, N + head)
  column, mask = columns(0, H, there)
  v = load(qkv, row, new[:, None], N + K + head, column, mask=mask)

  @pl.when(part == 0)
  def _():
    slot = (start + new) % S if ring else jnp.minimum(start + new, S - 1)
    for at, x in zip(low, k, strict=True):
      column, mask = columns(at, half, there)
      triton.store(keys_of.at[row, head, slot[:, None], column], x, mask=mask)
    column, mask = columns(0, H, there)
    triton.store(values_of.at[row, head, slot[:, None], column], v, mask=mask)

  def of_own(x, y):
    return jnp.sum(x.astype(jnp.float32) * y.astype(jnp.float32), 1)

  def capped(logits):
    return logits if cap is None else cap * jnp.tanh(logits / cap)

  def add(carry, k, v, seen):
    most, sum_, mix = carry
    logits = triton.dot(q[0], k[0].T) + triton.dot(q[1], k[1].T)
    logits = jnp.where(seen, capped(logits), _NEVER)
    top = jnp.maximum(most, logits.max(1))
    weights = jnp.where(seen, jnp.exp(logits - top[:, None]), 0.0)
    kept = jnp.exp(most - top)
    mix = mix * kept[:, None] + triton.dot(weights.astype(dtype), v)
    return top, sum_ * kept + weights.sum(1), mix

  first, never = part == 0, jnp.full(queries, _NEVER, jnp.float32)
  none, zeros = (jnp.zeros(s, jnp.float32) for s in (queries, (queries, H)))
  if T == 1:  # Of which a product would take longer.
    logit = capped(sum(of_own(x, y) for x, y in zip(q, k, strict=True)))
    begun = (
      jnp.where(first, logit, never),
      jnp.where(first, none + 1, none),
      jnp.where(first, v.astype(jnp.float32) + zeros, zeros),
    )
  else:
    age = token[:, None] - new[None]
    seen = (age >= 0) & first
    if window is not None:
      seen &= age < window
    begun = add((never, none, zeros), k, v, seen)

  # Slots from `begin` to `end`, of which the parts have tiles one by one.
  begin, end = 0, jnp.minimum(start, S)
  if window is not None and not ring:
    begin = jnp.maximum(start - window + 1, 0)
  tiles = (end - begin + keys - 1) // keys
  each = (tiles + parts - 1) // parts

  def step(i, carry):
    slots = begin + i * keys + _upto(keys)
    position = slots
    live = slots < end
    if ring:
      age = (start + T - 1 - slots) % S
      position = start + T - 1 - age
      live &= age >= T
    seen = live[None]
    if window is not None:
      seen &= (start + token)[:, None] - position[None] < window
    at, there = pl.ds(begin + i * keys, keys), live[:, None]
    k = [
      triton.load(
        keys_of.at[row, head, at, pl.ds(j, half)], mask=there, other=0
      )
      for j in low
    ]
    v = triton.load(
      values_of.at[row, head, at, pl.ds(0, H)], mask=there, other=0
    )
    return add(carry, k, v, seen)

  last = jnp.minimum((part + 1) * each, tiles)
  most, sum_, mix = lax.fori_loop(part * each, last, step, begun)
  column, mask = columns(0, H, own)
  index = part, row, token[:, None], at_head, column
  triton.store(mixed.at[index], mix, mask=mask)
  index = part, row, token, head * group + query % group
  triton.store(largest.at[index], most, mask=own)
  triton.store(total.at[index], sum_, mask=own)


def _upto(number):
  return jnp.arange(number, dtype=jnp.int32)


def _merge(mixed, largest, total, out, *, width):
  head, at = pl.program_id(0), pl.ds(pl.program_id(1) * width, width)
  token = pl.program_id(2)
  most, sums = largest[:, token, head], total[:, token, head]
  weights = jnp.exp(most - jnp.max(most))
  weights /= jnp.sum(weights * sums)
  mix = jnp.sum(mixed[:, token, head, at] * weights[:, None], 0)
  out[token, head, at] = mix.astype(out.dtype)


def _call(kernel, grid, args, out, aliases=None):
  """Runs a kernel over whole arrays."""
  return pl.pallas_call(
    kernel,
    grid=grid,
    out_shape=out,
    input_output_aliases=aliases or {},
    compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=2),
    interpret=_INTERPRET,
  )(*args)
