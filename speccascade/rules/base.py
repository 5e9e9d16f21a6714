"""What a deferral rule is: a function from two distributions to a third.

A rule takes `(q, p, q_raw, p_raw, *values)` and returns the target
distribution pi, all over the last axis:

  q, p: what the drafter and the verifier sample from, after temperature,
    top-k and top-p, [..., V].
  q_raw, p_raw: the same models before any of that (q hat and p hat).
  values: one array for each of the rule's parameters, in their order,
    broadcast over the leading axes, [...].

The decoder samples from pi exactly, whatever the rule. Equations are those of
Narasimhan et al., "Faster Cascades via Speculative Decoding", ICLR 2025.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Parameter:
  """A number that a rule or method takes.

  Attributes:
    name: as configs, records and reports have it.
    low: smallest value.
    high: largest value.
    open_low: whether `low` itself is out of range.
    open_high: whether `high` itself is out of range.
    examples: a small, a middle and a large value, between which the rule
      changes its mind; the contract tests decode with them.
  """

  name: str
  low: float = -math.inf
  high: float = math.inf
  open_low: bool = False
  open_high: bool = False
  examples: tuple[float, float, float] = (0.0, 0.5, 1.0)

  def check(self, value: float, owner: str) -> None:
    """Raises ValueError unless `value` is in range, and is so in float32.

    Rules take a value as the nearest float32: 0 and the ends of the range are
    not the nearest of any other.

    Args:
      value: a number.
      owner: name of what takes the parameter.
    """
    with np.errstate(over='ignore', under='ignore'):
      rounded, low, high = np.float32((value, self.low, self.high))
    above = value > self.low if self.open_low else value >= self.low
    below = value < self.high if self.open_high else value <= self.high
    if not (above and below and math.isfinite(value)):
      opening, closing = '[('[self.open_low], '])'[self.open_high]
      raise ValueError(
        f'{self.name}={value:g} is out of range for {owner}: it must be a '
        f'finite number in {opening}{self.low:g}, {self.high:g}{closing}'
      )
    lost = value != 0 and abs(rounded) < np.finfo(np.float32).tiny
    for end, rounded_end in ((self.low, low), (self.high, high)):
      lost |= value != end and rounded == rounded_end
    if lost:
      raise ValueError(
        f'{self.name}={value:g} of {owner} is too small, too large or too near '
        'to the end of its range for float32; give a number that float32 holds'
      )


class Rule(Protocol):
  """A deferral rule. Hashable: a compiled program is made for it."""

  __name__: str
  parameters: tuple[Parameter, ...]
  lossless: bool  # Whether pi = p for all values.

  def __call__(
    self,
    q: jax.Array,
    p: jax.Array,
    q_raw: jax.Array,
    p_raw: jax.Array,
    *values: jax.Array,
  ) -> jax.Array:
    """Returns pi, [..., V]."""


def takes(
  *parameters: Parameter, lossless: bool = False
) -> Callable[[Callable], Rule]:
  """Declares the parameters of a rule, in the order of its arguments.

  Args:
    *parameters: of the rule.
    lossless: whether pi = p for all their values.
  """

  def declare(function):
    function.parameters, function.lossless = parameters, lossless
    return function

  return declare


def over(value: jax.Array) -> jax.Array:
  """A parameter [...] as [..., 1], beside distributions [..., V]."""
  return jnp.asarray(value)[..., None]


def top(p: jax.Array) -> jax.Array:
  """The largest probability, [..., 1]."""
  return p.max(-1, keepdims=True)


def rounding(p: jax.Array) -> float:
  """How far below its maximum, relative to it, a maximum may be computed.

  A program may compute p anew beside its maximum, and round the two apart: what
  compares them must have room for that, or no token is as probable as the most
  probable one.
  """
  # At the maximum a softmax is 1 over a sum: each, and what tempers or
  # normalises them, is off by a unit in the last place or two.
  return 8 * float(jnp.finfo(p.dtype).eps)


def near_top(p: jax.Array, share: jax.Array) -> jax.Array:
  """Whether each probability is at least a share [...] of the largest."""
  return p >= jnp.minimum(over(share), 1 - rounding(p)) * top(p)


def keep(kept: jax.Array, q: jax.Array, p: jax.Array) -> jax.Array:
  """Pi = q where `kept` [...] holds, else p."""
  return jnp.where(kept[..., None], q, p)


def mix(in_a: jax.Array, q: jax.Array, p: jax.Array) -> jax.Array:
  """Pi = q on the tokens of A [..., V]; the mass left is spread as p."""
  kept = jnp.where(in_a, q, 0)
  return kept + p * jnp.maximum(1 - kept.sum(-1, keepdims=True), 0)
