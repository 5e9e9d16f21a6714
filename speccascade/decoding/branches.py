"""Answers of several settings to a prompt that share what they have in common.

As long as settings write the same tokens, they need the same keys and values,
and one pass of each model serves them all. So a slot has one pair of caches for
W settings of its method, which are branches of a tree of tokens. An iteration
drafts and verifies once, and decides on the block for each branch that runs.

  1. Branches run together that have written the same. Of those that a block
     tells apart, the one that wrote most of it goes on, with those like it; the
     others wait where they are.
  2. Once all that run have ended, the caches are rewound to the longest of
     those that wait, and it runs, with those like it.

Nothing is copied. What is written after a branch began to wait lies past what
it has in the caches: the one that went on had written as much as it or more,
and whatever is rewound to later waited for a shorter time and is no shorter.

Letters: B slots, R slots of a group, W branches of a slot, G positions of a
block, M positions of an answer, J answers.
"""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.decoding import blocks, checks, decoders, defer
from speccascade.decoding import loop as loop_lib
from speccascade.models import cache as cache_lib


@flax.struct.dataclass
class _State:
  own: Any  # loop.State of BxW rows, whose caches have lengths alone
  runs_BxW: jax.Array  # branches that the next block is for
  done_B: jax.Array  # whether all branches have ended
  drafter_cache: cache_lib.Cache  # of the branches that run
  verifier_cache: cache_lib.Cache  # likewise


@dataclasses.dataclass(frozen=True)
class Branches(decoders.Drafts):
  """A loop whose slots have branches; a result has BxW rows, one of each.

  The values of a group are the number [J] of branches of each answer, then an
  array [J, W] for each parameter of its method.

  Attributes:
    loop: Loop, whose groups are of slots. Its schedule has no `begin`, and
      nothing is observed.
    width: W, most branches of a slot.
  """

  width: int

  def __post_init__(self):
    if self.loop.schedule.begin is not None or self.loop.observe is not None:
      raise ValueError(
        'branches take no schedule that weighs the rows of a batch together, '
        'and nothing to observe'
      )

  @property
  def rooms(self):
    """See `decoders.Decoder`: a branch may wait before all of an answer."""
    return ((0, self.positions),) * 2

  def check(self, queue, rows):
    """See `decoders.Decoder`."""
    for group, own in zip(self.loop.groups, queue.answers, strict=True):
      number_J, *values = map(np.asarray, own.values)
      J, W = len(own.id_J), self.width
      if number_J.shape != (J,) or not np.all(
        (number_J >= 1) & (number_J <= W)
      ):
        raise ValueError(
          f'{group.method.name}: an answer has 1 to {W} branches, got '
          f'{number_J.tolist()}'
        )
      flat = [x.reshape(J * W) if x.shape == (J, W) else x for x in values]
      checks.check_values(group.method, flat, J * W)
    self.loop.schedule.check(queue.schedule_parameter, self.loop.gamma, rows)

  def start(self, params, request, caches, last_B):
    """See `decoders.Decoder`."""
    B, W = len(last_B), self.width
    each = functools.partial(jnp.repeat, repeats=W, axis=0)
    lengths = [
      cache_lib.Cache(each(cache.length_B), (), (), ()) for cache in caches
    ]
    flat = loop_lib.start(self.loop, params, request, lengths, each(last_B))
    own = self._split(request, flat)
    number_B = jnp.concatenate([values[0] for values in request.values])
    runs_BxW = jnp.arange(W) < number_B[:, None]
    return _State(
      own=own.replace(done_B=~runs_BxW),
      runs_BxW=runs_BxW,
      done_B=jnp.zeros(B, bool),
      drafter_cache=caches[0],
      verifier_cache=caches[1],
    )

  def iterate(self, params, request, u_BxMxU, state):
    """See `decoders.Decoder`."""
    runs_BxW = state.runs_BxW & ~state.done_B[:, None]
    lead = self._of(request, state.own, runs_BxW.argmax(1))
    draft, outcome, caches, finite, _ = blocks.decide(
      self.loop,
      params,
      request,
      u_BxMxU,
      lead.replace(
        done_B=state.done_B,
        drafter_cache=state.drafter_cache,
        verifier_cache=state.verifier_cache,
      ),
      defers=functools.partial(_of_branches, runs_BxW),
    )
    flat = self._map(request, _flat, state.own)
    each = functools.partial(jnp.repeat, repeats=self.width, axis=0)
    after = loop_lib.commit(
      self.loop,
      request,
      flat,
      jax.tree.map(each, draft.replace(q_BxGxV=None, q_raw_BxGxV=None)),
      outcome,
      (flat.drafter_cache, flat.verifier_cache),
      jax.tree.map(each, finite),
      {},
    )
    own = self._map(
      request,
      functools.partial(_where, runs_BxW),
      self._split(request, after),
      state.own,
    )
    return self._go_on(request, own, caches)

  def _go_on(self, request, own, caches):
    """The state in which the longest branch runs that has not ended."""
    lead_B = jnp.where(own.done_B, -1, own.length_B).argmax(1)
    lead = self._of(request, own, lead_B)
    # A state that holds NaN is not even like itself.
    leads_BxW = jnp.arange(self.width) == lead_B[:, None]
    return _State(
      own=own,
      runs_BxW=~own.done_B & (leads_BxW | self._alike(request, own, lead)),
      done_B=own.done_B.all(1),
      drafter_cache=cache_lib.rewind(caches[0], lead.drafter_cache.length_B),
      verifier_cache=cache_lib.rewind(caches[1], lead.verifier_cache.length_B),
    )

  def _alike(self, request, own, lead):
    """BxW, whether all that is to come depends on is the same."""
    M = own.token_BxM.shape[-1]
    past_BxWxM = jnp.arange(M) >= own.length_B[..., None]
    equal_BxWxM = own.token_BxM == lead.token_BxM[:, None]
    alike_BxW = (own.length_B == lead.length_B[:, None]) & jnp.all(
      past_BxWxM | equal_BxWxM, -1
    )
    for of_row, x, y in zip(
      jax.tree.leaves(self._of_rows(request)),
      *map(jax.tree.leaves, (own.schedule, lead.schedule)),
      strict=True,
    ):
      if of_row:
        equal = x == y[:, None]
        alike_BxW &= equal.reshape(*alike_BxW.shape, -1).all(-1)
    return alike_BxW

  def result(self, state):
    """See `decoders.Decoder`."""
    flat = jax.tree.map(_flat, state.own.replace(schedule=()))
    return jax.tree.map(self._two, loop_lib.result(self.loop, flat))

  def _two(self, x):
    return x.reshape(-1, self.width, *x.shape[1:])

  def _split(self, request, flat):
    return self._map(request, self._two, flat)

  def _of(self, request, own, at_B):
    """The state of a branch of each slot, B rows."""
    return self._map(request, functools.partial(_take, at_B), own)

  def _map(self, request, function, *states):
    """`function` of what is of rows; the rest as the first state has it."""
    of_row = self._of_rows(request)
    rest = jax.tree.map(function, *(x.replace(schedule=()) for x in states))
    schedule = jax.tree.map(
      lambda own, *xs: function(*xs) if own else xs[0],
      of_row,
      *(x.schedule for x in states),
    )
    return rest.replace(schedule=schedule)

  def _of_rows(self, request):
    """Whether each array of a schedule's state is of rows."""
    one, two = (
      jax.eval_shape(
        lambda rows=rows: self.loop.schedule.init(
          request.schedule_parameter, rows, self.loop.gamma + 1
        )
      )
      for rows in (1, 2)
    )
    return jax.tree.map(lambda x, y: x.shape != y.shape, one, two)


def _of_branches(runs_BxW, groups, draft, verified, values, u_BxGxU, *told):
  """As `defer.of_groups`, flat, of each branch that runs; others get anything.

  The first branch of each slot that runs is decided on, then the second, as
  often as some slot has one.
  """
  B, W = runs_BxW.shape
  order_BxW = jnp.argsort(~runs_BxW, axis=1, stable=True)

  def decide(at_B):
    own, start = [], 0
    for group, (_, *values_RxW) in zip(groups, values, strict=True):
      at_R = at_B[start : start + group.rows]
      own.append(tuple(_take(at_R, x_RxW) for x_RxW in values_RxW))
      start += group.rows
    return defer.of_groups(groups, draft, verified, own, u_BxGxU, *told)

  def step(k, outcome):
    at_B = lax.dynamic_index_in_dim(order_BxW, k, 1, keepdims=False)
    hit_BxW = jnp.arange(W) == at_B[:, None]
    put = lambda new, old: _where(hit_BxW, new[:, None], old)  # noqa: E731
    return jax.tree.map(put, decide(at_B), outcome)

  shapes = jax.eval_shape(decide, order_BxW[:, 0])
  nothing = jax.tree.map(
    lambda x: jnp.zeros((B, W, *x.shape[1:]), x.dtype), shapes
  )
  most = runs_BxW.sum(1).max()
  return jax.tree.map(_flat, lax.fori_loop(0, most, step, nothing))


def _flat(x):
  return x.reshape(-1, *x.shape[2:])


def _take(at_B, x_BxW):
  at = at_B.reshape(-1, *[1] * (x_BxW.ndim - 1))
  return jnp.take_along_axis(x_BxW, at, 1)[:, 0]


def _where(choice_BxW, new, old):
  choice = choice_BxW.reshape(*choice_BxW.shape, *[1] * (old.ndim - 2))
  return jnp.where(choice, new, old)
