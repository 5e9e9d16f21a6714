"""What slots need of a way of decoding, and of what drafts and a model alone.

Letters: B rows, M positions of an answer, U uniforms of a position.
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from speccascade import sharding
from speccascade.decoding import autoregressive, checks, lag, results
from speccascade.decoding import loop as loop_lib
from speccascade.models import cache as cache_lib


class Decoder(Protocol):
  """A way of decoding. Hashable: a compiled program is made for it.

  Attributes:
    models: those that read prompts.
    rooms: (tokens, block) of the cache of each, see `models.base.Model.blank`:
      it holds a prompt and so many of both, and no more than the block is ever
      written past what it is rewound to.
    max_new_tokens: most tokens of an answer.
    positions: M.
    groups: slots of each group; None where all are one group.
  """

  models: tuple[Any, ...]
  rooms: tuple[tuple[int, int], ...]
  max_new_tokens: int
  positions: int
  groups: tuple[int, ...] | None

  def check(self, queue: Any, rows: int) -> None:
    """Raises ValueError if what the answers ask for is out of range."""

  def start(
    self,
    params: tuple[Any, ...],
    request: results.Request,
    caches: tuple[Any, ...],
    last_B: jax.Array,
  ) -> Any:
    """Returns the state of rows that have read their prompts.

    Args:
      params: of the models.
      request: Request; its prompts do not matter.
      caches: of the models.
      last_B: token that follows what they hold.
    """

  def iterate(
    self,
    params: tuple[Any, ...],
    request: results.Request,
    u_BxMxU: jax.Array,
    state: Any,
  ) -> Any:
    """Returns the state after an iteration; `done_B` tells what has ended."""

  def result(self, state: Any) -> results.Result:
    """Returns what rows have written so far."""

  def caches(self, state: Any) -> tuple[Any, ...]:
    """Returns the caches of the models."""

  def with_caches(self, state: Any, caches: Any) -> Any:
    """Returns the state with others."""

  def reads(self, queue: Any, state: Any) -> tuple[jax.Array | None, ...]:
    """Returns whether each model is to read a prompt that comes now.

    None where it reads all.
    """

  def with_read(self, state: Any, read: tuple[jax.Array | None, ...]) -> Any:
    """Returns the state of rows whose prompts the models have read or not."""


class ReadsAll:
  """Ways of decoding whose models read all prompts."""

  def reads(self, queue, state):
    """See `Decoder`."""
    del queue, state
    return (None,) * len(self.models)

  def with_read(self, state, read):
    """See `Decoder`."""
    del read
    return state


class TwoCaches(ReadsAll):
  """States that hold the caches of a drafter and of a verifier."""

  def caches(self, state):
    """See `Decoder`."""
    return state.drafter_cache, state.verifier_cache

  def with_caches(self, state, caches):
    """See `Decoder`."""
    drafter_cache, verifier_cache = caches
    return state.replace(
      drafter_cache=drafter_cache, verifier_cache=verifier_cache
    )


@dataclasses.dataclass(frozen=True)
class Drafts(TwoCaches):
  """The loop of `decoding.loop`.

  Attributes:
    loop: Loop, whose groups are of slots.
  """

  loop: loop_lib.Loop

  @property
  def models(self):
    """See `Decoder`."""
    return self.loop.drafter, self.loop.verifier

  @property
  def rooms(self):
    """See `Decoder`."""
    return ((self.max_new_tokens, self.loop.gamma + 1),) * 2

  @property
  def max_new_tokens(self):
    """See `Decoder`."""
    return self.loop.max_new_tokens

  @property
  def positions(self):
    """See `Decoder`."""
    return self.max_new_tokens + self.loop.gamma + 1

  @property
  def groups(self):
    """See `Decoder`."""
    return tuple(group.rows for group in self.loop.groups)

  def check(self, queue, rows):
    """See `Decoder`."""
    for group, own in zip(self.loop.groups, queue.answers, strict=True):
      checks.check_values(group.method, own.values, len(own.id_J))
    self.loop.schedule.check(queue.schedule_parameter, self.loop.gamma, rows)

  def start(self, params, request, caches, last_B):
    """See `Decoder`."""
    return loop_lib.start(self.loop, params, request, caches, last_B)

  def iterate(self, params, request, u_BxMxU, state):
    """See `Decoder`."""
    return loop_lib.iterate(self.loop, params, request, u_BxMxU, state)

  def result(self, state):
    """See `Decoder`."""
    return loop_lib.result(self.loop, state)

  def reads(self, queue, state):
    """See `Decoder`: a drafter that would not draft need not read."""
    loop = self.loop
    if loop.schedule.hopes is None or loop.observe or not lag.lossless(loop):
      return None, None
    free = [
      jnp.all(own.temperature_J == 0) | group.method.invariant
      for group, own in zip(loop.groups, queue.answers, strict=True)
    ]
    hopes = loop.schedule.hopes(queue.schedule_parameter, state.schedule)
    return hopes | ~jnp.stack(free).all(), None

  def with_read(self, state, read):
    """See `Decoder`."""
    return state if read[0] is None else state.replace(able_B=read[0])


@dataclasses.dataclass(frozen=True)
class Alone(ReadsAll):
  """A model by itself.

  Attributes:
    decoder: Autoregressive.
  """

  decoder: autoregressive.Autoregressive

  groups = None

  @property
  def models(self):
    """See `Decoder`."""
    return (self.decoder.model,)

  @property
  def rooms(self):
    """See `Decoder`."""
    return ((self.max_new_tokens, 1),)

  @property
  def max_new_tokens(self):
    """See `Decoder`."""
    return self.decoder.max_new_tokens

  @property
  def positions(self):
    """See `Decoder`."""
    return self.max_new_tokens

  def check(self, queue, rows):
    """See `Decoder`."""

  def start(self, params, request, caches, last_B):
    """See `Decoder`."""
    own = *params, request.stops, *caches, last_B
    return autoregressive.start(self.decoder, *own)

  def iterate(self, params, request, u_BxMxU, state):
    """See `Decoder`."""
    own = *params, request.sampling, request.stops, u_BxMxU, state
    return autoregressive.iterate(self.decoder, *own)

  def result(self, state):
    """See `Decoder`."""
    return autoregressive.result(self.decoder, state)

  def caches(self, state):
    """See `Decoder`."""
    return (state.cache,)

  def with_caches(self, state, caches):
    """See `Decoder`."""
    (cache,) = caches
    return state.replace(cache=cache)


def divided(way: Decoder, state: Any, rows: int) -> Any:
  """Divides a state over the mesh as a program hands it to its next call.

  Left to the compiler, the second call would be given what is divided otherwise
  than what the first was given, and would compile anew.

  Args:
    way: Decoder.
    state: of it; an array with B entries along its first axis is of rows.
    rows: B.
  """
  none = way.with_caches(state, [None] * len(way.models))
  return way.with_caches(
    sharding.by_rows(none, rows), divided_caches(way, way.caches(state))
  )


def divided_caches(
  way: Decoder, caches: tuple[Any, ...], shared: bool = False
) -> tuple[Any, ...]:
  """Divides caches, one a model, each as its model does; see `cache.divide`."""
  return tuple(
    model.within(cache_lib.divide, cache, shared)
    for model, cache in zip(way.models, caches, strict=True)
  )


def of(decoder: Any) -> Decoder:
  """Returns the Decoder of a Loop, of an Autoregressive, or the one given."""
  if isinstance(decoder, loop_lib.Loop):
    return Drafts(decoder)
  if isinstance(decoder, autoregressive.Autoregressive):
    return Alone(decoder)
  return decoder
