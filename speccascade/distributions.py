"""From logits to probabilities, and from probabilities to draws.

Coupled randomness: every draw for output position t of example e uses
uniforms of fold_in(fold_in(key, e), t), one a role. A token is then a
function of the tokens before it and of these keys alone, so that one seed
gives the same tokens for any draft length, batch and device layout.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DRAFT, ACCEPT, RESIDUAL = range(3)  # Roles of a position's three uniforms.


@flax.struct.dataclass
class Sampling:
  """How each row samples.

  Attributes:
    temperature_B: 0 takes the most probable token.
    top_p_B: nucleus mass in (0, 1]; 1 keeps all.
    top_k: most probable tokens kept, ties included; 0 keeps all.
  """

  temperature_B: jax.Array
  top_p_B: jax.Array
  top_k: int = flax.struct.field(pytree_node=False, default=0)


def raw(logits):
  """Q hat or p hat: probabilities at temperature 1, over the last axis."""
  return jax.nn.softmax(logits)


def probabilities(logits_BxTxV, raw_BxTxV, sampling):
  """The distribution that is sampled from.

  Args:
    logits_BxTxV: of a model, float32 or wider.
    raw_BxTxV: their softmax.
    sampling: Sampling.

  Returns:
    BxTxV probabilities after temperature, top-k and top-p. Steps that no row
    asks for are skipped at run time.
  """
  temperature = sampling.temperature_B[:, None, None]
  top_p = sampling.top_p_B[:, None, None]

  def temper(_):
    warm = jnp.where(temperature > 0, temperature, 1).astype(raw_BxTxV.dtype)
    # The first of equal maxima alone, as argmax breaks ties.
    best = jax.nn.one_hot(
      logits_BxTxV.argmax(-1), logits_BxTxV.shape[-1], dtype=raw_BxTxV.dtype
    )
    return jnp.where(temperature > 0, jax.nn.softmax(logits_BxTxV / warm), best)

  probs = lax.cond(jnp.all(temperature == 1), lambda _: raw_BxTxV, temper, None)
  if sampling.top_k:
    k = min(sampling.top_k, probs.shape[-1])
    kth = lax.top_k(probs, k)[0][..., -1:]
    probs = _normalise(jnp.where(probs >= kth, probs, 0))
  return lax.cond(
    jnp.all(top_p >= 1), lambda x: x, lambda x: nucleus(x, top_p), probs
  )


def nucleus(probs, top_p):
  """Keeps the fewest most probable tokens whose mass reaches top-p.

  Args:
    probs: [..., V] probabilities.
    top_p: [..., 1] mass in (0, 1]; 1 keeps all.

  Returns:
    [..., V] the kept probabilities, normalised.
  """
  kept = _normalise(_largest(probs, probs, top_p))
  return jnp.where(top_p >= 1, probs, kept)


def most_probable(probs, k):
  """Keeps the k most probable tokens, ties included.

  Args:
    probs: [..., V] probabilities.
    k: [..., 1] how many, 1 or more.

  Returns:
    [..., V] the kept probabilities, normalised.
  """
  return _normalise(_largest(probs, jnp.ones_like(probs), k))


def _largest(probs, measure, enough):
  """Zeroes all but the largest probs whose measures sum to enough.

  Bisects on the bit pattern of the threshold, which orders non-negative
  floats as integers: exact after as many halvings as there are bits, without
  a sort and with reductions alone, so that V may stay sharded.
  """
  bits = probs.dtype.itemsize * 8
  integer = np.dtype(f'int{bits}')
  low = jnp.zeros(probs.shape[:-1] + (1,), integer)
  high = lax.bitcast_convert_type(jnp.ones_like(low, probs.dtype), integer)

  def halve(_, bounds):
    low, high = bounds
    middle = low + (high - low + 1) // 2
    threshold = lax.bitcast_convert_type(middle, probs.dtype)
    sum_ = jnp.where(probs >= threshold, measure, 0).sum(-1, keepdims=True)
    reached = sum_ >= enough
    return jnp.where(reached, middle, low), jnp.where(reached, high, middle - 1)

  low, _ = lax.fori_loop(0, bits - 1, halve, (low, high))
  threshold = lax.bitcast_convert_type(low, probs.dtype)
  return jnp.where(probs >= threshold, probs, 0)


def _normalise(x):
  return x / x.sum(-1, keepdims=True)


def row_keys(key, example_B):
  """fold_in(key, e) for each row."""
  return jax.vmap(jax.random.fold_in, (None, 0))(key, example_B)


def uniforms(key_B, position_BxT):
  """BxTx3 uniforms in [0, 1), by role, of each row's output positions.

  Decoders make all of them before their loop: on a CPU the generator's rounds
  would cost a loop as much as its drafting.
  """

  def one(key, position):
    return jax.random.uniform(jax.random.fold_in(key, position), (3,))

  return jax.vmap(jax.vmap(one, (None, 0)))(key_B, position_BxT)


def upcoming(u_BxMx3, length_B, number):
  """The uniforms of each row's next positions, BxTx3.

  Args:
    u_BxMx3: of positions 0..M-1.
    length_B: tokens a row has.
    number: T.
  """
  take = jax.vmap(lax.dynamic_slice_in_dim, (0, 0, None))
  return take(u_BxMx3, length_B, number)


def draw(weight, u):
  """Inverse-CDF draw of one index from non-negative weights.

  Args:
    weight: [..., V], not necessarily normalised, some positive.
    u: [...] uniforms in [0, 1).

  Returns:
    [...] int32 indices, always of positive weight. Two levels, blocks and
    then tokens of the block, so that a large sharded V needs one exchange of
    the order of sqrt(V).
  """
  V = weight.shape[-1]
  width = _block_width(V)
  pad = [(0, 0)] * (weight.ndim - 1) + [(0, -V % width)]
  blocks = jnp.pad(weight, pad).reshape(*weight.shape[:-1], -1, width)
  mass = blocks.sum(-1)
  threshold = u.astype(weight.dtype) * mass.sum(-1)
  block, threshold = _invert(mass, threshold)
  chosen = jax.nn.one_hot(block, mass.shape[-1], dtype=weight.dtype)
  within, _ = _invert((blocks * chosen[..., None]).sum(-2), threshold)
  return jnp.minimum(block * width + within, V - 1)


def _invert(weight, threshold):
  """First positive index whose running sum passes `threshold`, and the rest.

  Rounding may leave the last sum at the threshold: then the last positive.
  """
  index = jnp.arange(weight.shape[-1], dtype=jnp.int32)
  positive = weight > 0
  passes = positive & (jnp.cumsum(weight, -1) > threshold[..., None])
  first = jnp.where(passes, index, weight.shape[-1]).min(-1)
  first = jnp.minimum(first, jnp.where(positive, index, 0).max(-1))
  before = jnp.where(index < first[..., None], weight, 0).sum(-1)
  return first, threshold - before


def _block_width(V):
  """A divisor of V near sqrt(V) if there is one within a factor of 4."""
  root = max(1, round(V**0.5))
  divisors = [d for d in range(1, 4 * root) if V % d == 0 and 4 * d >= root]
  return min(divisors, key=lambda d: abs(d - root), default=root)


def accepts(token, u, pi, q):
  """Whether a draft x ~ q is kept: u < pi(x) / q(x), without the division.

  Args:
    token: [...] drafted tokens.
    u: [...] uniforms.
    pi: [..., V] target.
    q: [..., V] what the tokens were drawn from.
  """
  pi_x, q_x = (
    jnp.take_along_axis(x, token[..., None], -1)[..., 0] for x in (pi, q)
  )
  return u.astype(q.dtype) * q_x < pi_x


def residual(pi, q):
  """Weights of a rejected position's token: max(0, pi - q), unnormalised.

  pi itself where rounding left no residual.
  """
  rest = jnp.maximum(pi - q, 0)
  return jnp.where(rest.sum(-1, keepdims=True) > 0, rest, pi)
