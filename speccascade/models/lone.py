"""What a GPU does with a lone token, one of one row, in kernels of its own.

XLA makes a kernel of each sum: a norm takes two or three, attention over a
cache seven. Of a lone token each takes longer to start than to run. Shape
letters are those of `speccascade.models`.

The kernels are Pallas's for Triton. GPUs that have not run them, and a version
of JAX without them, leave all to XLA, as other platforms do.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

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
_PART = 1024  # Numbers of a norm that are taken at a time, at most,
_TIMES = 32  # and how often, as code that is not looped over.
_PARTS = 32  # Of the keys, each by a block of threads.
_TILE = 2**14  # Numbers of the keys that a block reads at a time,
_KEYS = 64  # and keys.
_ROWS = 16  # Of a product, at least.
_MIXED = 64  # Numbers of a head that are mixed at a time.
_NEVER = -1e30


def is_lone(x_BxTxD: jax.Array) -> bool:
  """Whether a block is a token of one row that the kernels take."""
  B, T, D = x_BxTxD.shape
  fits = x_BxTxD.dtype in _TYPES and D // _part(D) <= _TIMES
  return B == T == 1 and fits and _has_run()


def _has_run():
  """Whether this GPU has. Without one they are traced, and never compiled."""
  if triton is None or jax.default_backend() != 'gpu':
    return triton is not None
  device = jax.local_devices()[0]
  return getattr(device, 'compute_capability', None) in _CAPABILITIES


def _part(width):
  """Numbers that are taken at a time: a power of two that divides all."""
  return min(width & -width, _PART)


def attends(heads: int, width: int, layers: int) -> bool:
  """Whether `attend` takes so many queries of a key, of so many numbers.

  Args:
    heads: N / K.
    width: H.
    layers: L of the stack that holds the keys.
  """
  even = width & (width - 1) == 0
  return even and width >= 2 * _ROWS and heads <= _ROWS and layers == 1


def join(x_1x1xD, y_1x1xD, after_D, before_D, *, epsilon, offset):
  """Adds a branch and takes the norm of the sum, in one kernel.

  Args:
    x_1x1xD: residual stream.
    y_1x1xD: what is added to it; None if nothing is.
    after_D: scale of the norm of y; None if it has none.
    before_D: scale of the norm of the sum; None if none is asked for.
    epsilon: added to mean squares.
    offset: added to scales.

  Returns:
    (the sum, its norm), x and None where they are not asked for.
  """
  D, dtype = x_1x1xD.shape[-1], x_1x1xD.dtype
  part = _part(D)
  starts = range(0, D, part)
  given = [x_1x1xD, y_1x1xD, after_D, before_D]
  asked = y_1x1xD is not None, before_D is not None

  def rounded(x):  # As XLA's kernels hand it on.
    return x.astype(dtype).astype(jnp.float32)

  def kernel(*refs):
    refs = iter(refs)
    x, y, after, before = [None if a is None else next(refs) for a in given]

    def read(ref):
      return [ref[pl.ds(i, part)].astype(jnp.float32) for i in starts]

    def norm(xs, scales):
      mean = jnp.sum(sum(x * x for x in xs)) / D
      factor = lax.rsqrt(mean + epsilon)
      pairs = zip(xs, scales, strict=True)
      return [rounded(x * factor * (offset + scale)) for x, scale in pairs]

    def write(xs):
      ref = next(refs)
      for i, x in zip(starts, xs, strict=True):
        ref[pl.ds(i, part)] = x.astype(dtype)

    xs = read(x)
    if y is not None:
      ys = read(y)
      if after is not None:
        ys = norm(ys, read(after))
      xs = [rounded(x + y) for x, y in zip(xs, ys, strict=True)]
      write(xs)
    if before is not None:
      write(norm(xs, read(before)))

  flat = [x.reshape(D) for x in given if x is not None]
  out = [jax.ShapeDtypeStruct((D,), dtype)] * sum(asked)
  made = iter(_call(kernel, (1,), flat, out))
  made = [next(made).reshape(x_1x1xD.shape) if a else None for a in asked]
  return made[0] if asked[0] else x_1x1xD, made[1]


def attend(
  q_NxH, k_KxH, v_KxH, rotation, stacks, position, *, scale, cap, window, ring
):
  """Appends a token to a cache in place, and attends over it.

  Blocks of threads mix a part of the keys each, a second kernel the parts.

  Args:
    q_NxH: queries, neither rotated nor scaled.
    k_KxH: keys, not rotated.
    v_KxH: values.
    rotation: sin_H/2 and cos_H/2, float32.
    stacks: keys and values of the cache, each 1x1xKxSxH.
    position: of the token.
    scale: of queries.
    cap: of logits, or None.
    window: tokens that are attended to, the token itself among them, or None.
    ring: whether position t lies in slot t mod S.

  Returns:
    (mixed_NxH, stacks).
  """
  N, H = q_NxH.shape
  K, S = stacks[0].shape[2:4]
  keys = min(_KEYS, max(_TILE // H, _ROWS))
  stacks = [x.reshape(K, S, H) for x in stacks]
  qkv_MxH = jnp.concatenate([q_NxH, k_KxH, v_KxH])
  rotation_2xR = jnp.stack([x.astype(jnp.float32) for x in rotation])
  position_1 = jnp.asarray(position, jnp.int32)[None]
  out = [
    jax.ShapeDtypeStruct((_PARTS, N, H), jnp.float32),
    jax.ShapeDtypeStruct((_PARTS, N), jnp.float32),
    jax.ShapeDtypeStruct((_PARTS, N), jnp.float32),
    *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in stacks),
  ]
  kernel = functools.partial(
    _attend, queries=N // K, keys=keys, scale=scale, cap=cap, window=window,
    ring=ring,
  )  # fmt: skip
  *mixed, new_keys, new_values = _call(
    kernel, (K, _PARTS), [qkv_MxH, rotation_2xR, position_1, *stacks], out,
    aliases={3: 3, 4: 4},
  )  # fmt: skip
  width = min(H, _MIXED)
  mixed_NxH = _call(
    functools.partial(_merge, width=width), (N, H // width), mixed,
    jax.ShapeDtypeStruct((N, H), q_NxH.dtype),
  )  # fmt: skip
  return mixed_NxH, [x[None, None] for x in (new_keys, new_values)]


def _attend(
  qkv, rotation, position, _, __, mixed, largest, total, keys_of, values_of,
  *, queries, keys, scale, cap, window, ring,
):  # fmt: skip
  """Mixes a part of the keys of one head; of part 0 is the token's own, too.

  Part 0 writes the token's slot, which no part reads: it is masked.
  """
  head, part = pl.program_id(0), pl.program_id(1)
  K, S, H = keys_of.shape
  N, half, dtype = queries * K, H // 2, qkv.dtype
  now = position[0]
  slot = now % S if ring else jnp.minimum(now, S - 1)
  low = pl.ds(0, half), pl.ds(half, half)
  sin, cos = rotation[0, :], rotation[1, :]

  def rotated(a, b, sin, cos):
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return (a * cos - b * sin).astype(dtype), (b * cos + a * sin).astype(dtype)

  own = _upto(_ROWS) < queries
  row = head * queries + _upto(_ROWS)

  def of_queries(at, width):
    """Where numbers of the queries lie, and which are of this head."""
    column = at + _upto(width)[None]
    return (row[:, None], column), own[:, None] & (column >= 0)

  halves = []
  for at in (0, half):
    index, mask = of_queries(at, half)
    halves.append(triton.load(qkv.at[index], mask=mask, other=0))
  q = [x * jnp.asarray(scale, dtype) for x in rotated(*halves, sin[None], cos)]
  k = rotated(*(qkv[N + head, i] for i in low), sin, cos)
  v = qkv[N + K + head, :]

  @pl.when(part == 0)
  def _():
    for i, x in zip(low, k, strict=True):
      keys_of[head, slot, i] = x
    values_of[head, slot, :] = v

  def adjusted(logits):
    return logits if cap is None else cap * jnp.tanh(logits / cap)

  def of_own(x, y):
    return jnp.sum(x.astype(jnp.float32) * y.astype(jnp.float32)[None], 1)

  logit = adjusted(of_own(q[0], k[0]) + of_own(q[1], k[1]))
  first = part == 0
  zeros = jnp.zeros((_ROWS, H), jnp.float32)
  begun = (
    jnp.where(first, logit, _NEVER),
    jnp.where(first, jnp.ones_like(logit), jnp.zeros_like(logit)),
    jnp.where(first, v.astype(jnp.float32)[None] + zeros, zeros),
  )

  # Slots from `begin` to `end`, of which the parts have tiles one by one.
  begin, end = 0, jnp.minimum(now, S)
  if window is not None and not ring:
    begin = jnp.maximum(now - window + 1, 0)
  tiles = (end - begin + keys - 1) // keys
  each = (tiles + _PARTS - 1) // _PARTS

  def step(i, carry):
    most, sum_, mix = carry
    slots = begin + i * keys + _upto(keys)
    live = slots < end
    if ring:
      age = (now - slots) % S
      live &= (age > 0) & (age < window)
    at, seen = pl.ds(begin + i * keys, keys), live[:, None]
    parts = [
      triton.load(keys_of.at[head, at, i], mask=seen, other=0) for i in low
    ]
    values = triton.load(
      values_of.at[head, at, pl.ds(0, H)], mask=seen, other=0
    )
    logits = triton.dot(q[0], parts[0].T) + triton.dot(q[1], parts[1].T)
    logits = jnp.where(live[None], adjusted(logits), _NEVER)
    new = jnp.maximum(most, logits.max(1))
    weights = jnp.where(live[None], jnp.exp(logits - new[:, None]), 0.0)
    kept = jnp.exp(most - new)
    mix = mix * kept[:, None] + triton.dot(weights.astype(dtype), values)
    return new, sum_ * kept + weights.sum(1), mix

  last = jnp.minimum((part + 1) * each, tiles)
  most, sum_, mix = lax.fori_loop(part * each, last, step, begun)
  index, mask = of_queries(0, H)
  triton.store(mixed.at[part, *index], mix, mask=mask)
  triton.store(largest.at[part, row], most, mask=own)
  triton.store(total.at[part, row], sum_, mask=own)


def _upto(number):
  return jnp.arange(number, dtype=jnp.int32)


def _merge(mixed, largest, total, out, *, width):
  head, at = pl.program_id(0), pl.ds(pl.program_id(1) * width, width)
  most, sums = largest[:, head], total[:, head]
  weights = jnp.exp(most - jnp.max(most))
  weights /= jnp.sum(weights * sums)
  mix = jnp.sum(mixed[:, head, at] * weights[:, None], 0)
  out[head, at] = mix.astype(out.dtype)


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
