"""From logits to the probabilities that are sampled.

Letters: B rows, T positions, V vocabulary.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.sampling import draws

# Temperatures below it are 0: float32 logits of 16 are further apart.
GREEDY = 1e-6
_DIGIT = 4  # Bits of a threshold that a GPU tries at a time.

# What rows may ask for: temperature 1 and all tokens; the most probable token;
# any temperature; and any top-p, too. No step is chosen while a program runs
# but that of top-p, and none on a GPU, which waits for each choice.
PLAIN, BEST, TEMPERED, ANY = 'plain', 'best', 'tempered', 'any'
# What else holds rows that ask for it.
HOLDS = {
  PLAIN: (PLAIN, TEMPERED, ANY),
  BEST: (BEST, TEMPERED, ANY),
  TEMPERED: (TEMPERED, ANY),
  ANY: (ANY,),
}


@flax.struct.dataclass
class Sampling:
  """How each row samples.

  Attributes:
    temperature_B: below GREEDY, the most probable token is taken.
    top_p_B: nucleus mass in (0, 1]; 1 keeps all.
    top_k: most probable tokens kept, ties included; 0 keeps all.
    asked: a key of HOLDS, known when a program is made. Where it is PLAIN the
      softmax is what is sampled from, and is not held twice.
  """

  temperature_B: jax.Array
  top_p_B: jax.Array
  top_k: int = flax.struct.field(pytree_node=False, default=0)
  asked: str = flax.struct.field(pytree_node=False, default=ANY)

  @property
  def plain(self) -> bool:
    """Whether the softmax is what is sampled from."""
    return self.asked == PLAIN


def asked(temperatures, top_ps, top_k=0):
  """Returns the least key of HOLDS that holds rows of known settings.

  Args:
    temperatures: a number or array of them, of all rows.
    top_ps: likewise.
    top_k: as of Sampling.
  """
  if np.all(np.asarray(temperatures) < GREEDY):
    return BEST
  if not np.all(np.asarray(top_ps) >= 1):
    return ANY
  plain = not top_k and np.all(np.asarray(temperatures) == 1)
  return PLAIN if plain else TEMPERED


def of_rows(temperature_B, top_p_B, top_k=0):
  """Sampling of rows that are known."""
  of = asked(temperature_B, top_p_B, top_k)
  return Sampling(temperature_B, top_p_B, top_k, of)


def finite(logits):
  """Whether all logits are finite, over the last axis.

  Not told from probabilities: XLA's CPU backend drops NaN from a maximum, and
  the most probable of NaN is a valid token.
  """
  return jnp.isfinite(logits).all(-1)


def raw(logits):
  """Q hat or p hat: probabilities at temperature 1, over the last axis."""
  return jax.nn.softmax(logits)


def sampled(logits_BxTxV, raw_BxTxV, sampling):
  """The distribution that is sampled from.

  Args:
    logits_BxTxV: of a model, float32 or wider.
    raw_BxTxV: their softmax.
    sampling: Sampling.

  Returns:
    BxTxV probabilities after temperature, top-k and top-p; where sampling is
    plain, `raw_BxTxV`.
  """
  if sampling.plain:
    return raw_BxTxV
  # The first of equal maxima alone, as argmax breaks ties.
  best = jax.nn.one_hot(
    logits_BxTxV.argmax(-1), logits_BxTxV.shape[-1], dtype=logits_BxTxV.dtype
  )
  if sampling.asked == BEST:
    return best
  temperature = sampling.temperature_B[:, None, None]
  top_p = sampling.top_p_B[:, None, None]
  greedy = temperature < GREEDY
  warm = jnp.where(greedy, 1, temperature).astype(raw_BxTxV.dtype)
  # Divided after the shift, which is exact near the maximum: a small
  # temperature would multiply the rounding of large logits.
  below = logits_BxTxV - logits_BxTxV.max(-1, keepdims=True)
  probs = jnp.where(greedy, best, normalise(jnp.exp(below / warm)))
  # The same bits as where sampling is plain.
  probs = jnp.where(temperature == 1, raw_BxTxV, probs)
  if sampling.top_k:
    probs = _top_k(probs, min(sampling.top_k, probs.shape[-1]))
  if sampling.asked == TEMPERED:
    return probs
  if sharding.platform() == 'gpu':  # It waits for each choice.
    return nucleus(probs, top_p)
  return lax.cond(
    jnp.all(top_p >= 1), lambda x: x, lambda x: nucleus(x, top_p), probs
  )


def nucleus(probs, top_p):
  """Keeps the fewest most probable tokens that reach top-p, ties included.

  Args:
    probs: [..., V] probabilities.
    top_p: [..., 1] mass in (0, 1]; 1 keeps all.

  Returns:
    [..., V] the kept probabilities, normalised.
  """
  least = jnp.finfo(probs.dtype).tiny  # A mass of 0 would keep nothing.
  kept = normalise(_largest(probs, probs, jnp.maximum(top_p, least)))
  return jnp.where(top_p >= 1, probs, kept)


def most_probable(probs, k):
  """Keeps the k most probable tokens, ties included.

  Args:
    probs: [..., V] probabilities.
    k: [..., 1] how many, 1 or more.

  Returns:
    [..., V] the kept probabilities, normalised.
  """
  return normalise(_largest(probs, jnp.ones_like(probs), k))


def total_variation(p, q):
  """D_TV(p, q) = sum_v max(0, p(v) - q(v)) over the last axis."""
  return jnp.maximum(p - q, 0).sum(-1)


def _top_k(probs_BxTxV, k):
  """As `most_probable` keeps, of a number k."""
  own = sharding.own_shape(probs_BxTxV.shape, sharding.LOGITS)
  if own[-1] < probs_BxTxV.shape[-1] and sharding.platform() != 'tpu':
    # XLA gathers all that it takes the largest of, but on a TPU.
    return most_probable(probs_BxTxV, k)
  least = _kth_largest(probs_BxTxV, k)
  return normalise(jnp.where(probs_BxTxV >= least, probs_BxTxV, 0))


def _kth_largest(probs, k):
  """Returns [..., 1] of [..., V], from the largest of each block of V.

  Of a V that devices of a TPU hold in parts, only these are gathered.
  """
  blocks = draws.split(probs)
  largest = lax.top_k(blocks, min(k, blocks.shape[-1]))[0]
  return lax.top_k(largest.reshape(*probs.shape[:-1], -1), k)[0][..., -1:]


def _largest(probs, measure, enough):
  """Zeroes all but the largest probs whose measures sum to enough.

  Searches the bit pattern of the threshold, which orders non-negative floats as
  integers: exact after as many halvings as there are bits, without a sort and
  with reductions alone, so that V may stay sharded.
  """
  bits = probs.dtype.itemsize * 8 - 1  # Without that of the sign.
  integer = np.dtype(f'int{bits + 1}')
  zero = jnp.zeros(probs.shape[:-1] + (1,), integer)

  def reached(pattern):
    threshold = lax.bitcast_convert_type(pattern, probs.dtype)
    sum_ = jnp.where(probs >= threshold, measure, 0).sum(-1, keepdims=True)
    return sum_ >= enough

  search = _by_digits if sharding.platform() == 'gpu' else _by_halves
  pattern = search(reached, zero, bits)
  return jnp.where(
    probs >= lax.bitcast_convert_type(pattern, probs.dtype), probs, 0
  )


def _by_halves(reached, low, bits):
  """The greatest of so many bits that is reached, where 0 is: bisects."""

  def halve(i, low):
    middle = low | (jnp.ones_like(low) << (bits - 1 - i).astype(low.dtype))
    return jnp.where(reached(middle), middle, low)

  return lax.fori_loop(0, bits, halve, low)


def _by_digits(reached, low, bits):
  """The same by some bits at a time, which a GPU tries in one pass.

  Without a loop, of which CUDA makes no graph within that of a draft. What is
  greater than a digit that is not reached is not, so that a count tells it.
  """
  for shift in reversed(range(0, bits, _DIGIT)):
    digits = range(1, 1 << min(_DIGIT, bits - shift))
    found = sum(reached(low | (n << shift)) for n in digits)
    low |= found.astype(low.dtype) << shift
  return low


def normalise(x):
  """X over its sum, along the last axis."""
  return x / x.sum(-1, keepdims=True)
