"""Continuous batching on the device: a row that ends takes the next prompt.

The rows of a batch are slots. Prompts wait in a queue on the device; each turn
of the loop

  1. moves what has ended to a table;
  2. reads a chunk of the prompts that come next, if there is room for them, so
     that no turn takes longer for a long prompt, and stores the keys and values
     of those it has read, see `pages`;
  3. gives each free slot the next answer of its group, with a copy of its
     prompt's keys and values: of all answers to a prompt it is read once;
     while many slots are free all the same, it reads a few chunks more;
  4. decodes an iteration of all slots.

An answer does not depend on its slot or its neighbours.

Letters: B slots, R slots of a group or prompts of a page, J answers of a group,
P prompts, S their tokens (padded), O rows of the table, M positions of an
answer, U uniforms of a position.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.decoding import blocks, pages, results
from speccascade.decoding.queue import FREE, Queue, Slots, State, Table
from speccascade.models import cache as cache_lib
from speccascade.sampling import keys, probabilities

# Most chunks of a turn. It reads another one while as many slots are idle as a
# page holds prompts, and one slot of so many.
_CHUNKS = 4
_IDLE = 16


def init(slots: Slots, params: tuple[Any, ...], queue: Queue) -> State:
  """Returns the state before the first turn: all slots are free."""
  B = slots.rows
  caches = functools.partial(_blank, slots, params)
  column_B, zero_B = jnp.ones(B), jnp.zeros(B, jnp.int32)
  sampling = probabilities.Sampling(
    column_B, column_B, queue.top_k, queue.asked
  )
  values = tuple(
    tuple(jnp.zeros((rows, *x.shape[1:]), x.dtype) for x in own.values)
    for rows, own in zip(slots.groups, queue.answers, strict=True)
  )
  request = _request(queue, sampling, values)
  rows = slots.way.start(params, request, caches(B), zero_B)
  shapes = jax.eval_shape(lambda: slots.way.result(rows))
  zero_O = jnp.zeros(slots.table, jnp.int32)
  # Types as they are after a turn, or the next call compiles anew.
  rows = jax.tree.map(lambda x: lax.convert_element_type(x, x.dtype), rows)
  wanted = slots.way.reads(queue, rows)
  return State(
    rows=rows.replace(done_B=jnp.ones(B, bool)),
    id_B=jnp.full(B, FREE, jnp.int32),
    begun_B=zero_B,
    u_BxMxU=jnp.zeros((B, slots.way.positions, keys.U)),
    sampling=sampling,
    values=values,
    next_G=jnp.zeros(len(slots.groups), jnp.int32),
    have=jnp.int32(0),
    page=jnp.int32(0),
    chunk=jnp.int32(0),
    wanted=wanted,
    reader=caches(slots.reading, answers=False),
    store=caches(slots.stored, shared=True, answers=False),
    has_read=tuple(
      x if x is None else jnp.zeros(slots.stored, bool) for x in wanted
    ),
    table=Table(
      id_O=zero_O,
      begun_O=zero_O,
      ended_O=zero_O,
      result=jax.tree.map(
        lambda x: jnp.zeros((slots.table, *x.shape[1:]), x.dtype), shapes
      ),
      number=jnp.int32(0),
    ),
    turn=jnp.int32(0),
    busy=jnp.int32(0),
  )


def advance(
  slots: Slots,
  params: tuple[Any, ...],
  queue: Queue,
  turns: jax.Array,
  state: State,
) -> State:
  """Runs the loop until there is nothing to do, or the table must be read.

  Args:
    slots: Slots.
    params: of its models.
    queue: Queue; of one to which more was added, the rest as it was.
    turns: at most so many.
    state: of `init`, or of the call before, whose table is forgotten.

  Returns:
    The next state.
  """
  last = state.turn + turns

  def goes_on(state):
    ended = _ended(state).sum()
    room = state.table.number + ended <= slots.table - slots.rows
    waiting = jnp.any(state.next_G < _numbers(queue))
    busy = (state.id_B != FREE).sum() > ended
    return (state.turn < last) & room & (waiting | busy)

  def turn(state):
    state = _fill(slots, params, queue, state)
    request = _request(queue, state.sampling, state.values)
    rows = slots.way.iterate(params, request, state.u_BxMxU, state.rows)
    busy = state.busy + (state.id_B != FREE).sum(dtype=jnp.int32)
    return state.replace(rows=rows, busy=busy, turn=state.turn + 1)

  table = state.table.replace(number=jnp.int32(0))
  state = lax.while_loop(goes_on, turn, state.replace(table=table))
  return _collect(slots, state)


def result(slots: Slots, state: State) -> results.Result:
  """Returns what the slots hold, ended or not."""
  return slots.way.result(state.rows)


def _numbers(queue):
  return jnp.stack([own.number for own in queue.answers])


def _request(queue, sampling, values):
  """What the slots ask for; what they continue is in their caches."""
  return results.Request(
    None, sampling, values, queue.key, queue.schedule_parameter, queue.stops
  )


def _blank(slots, params, rows, shared=False, answers=True):
  """Caches of rows of no tokens, one a model, with room for answers or none."""
  return tuple(
    model.blank(
      own,
      rows,
      slots.width,
      new_tokens=new_tokens if answers else 0,
      block=block,
      chunk=pages.chunk(slots, model, own),
      shared=shared,
    )
    for model, own, (new_tokens, block) in zip(
      slots.way.models, params, slots.way.rooms, strict=True
    )
  )


def _fill(slots, params, queue, state):
  """Empties slots, reads prompts, and gives slots what continues them.

  Most turns need none of it, and choose once.
  """
  many = max(slots.reading, slots.rows // _IDLE)

  def goes_on(carry):
    chunks, state = carry
    due = pages.due(slots, queue, state)
    prompt_G, waits_G = pages.upcoming(queue, state)
    idle_G = jnp.where(waits_G, _free(slots, state), 0)
    gives = jnp.any((idle_G > 0) & (prompt_G < state.have))
    again = (chunks < _CHUNKS) & due & (idle_G.sum() >= many)
    return jnp.where(chunks == 0, due | gives | _ended(state).any(), again)

  def fill(carry):
    chunks, state = carry
    state = pages.read(slots, params, queue, _collect(slots, state))
    return chunks + 1, _give(slots, params, queue, state)

  return lax.while_loop(goes_on, fill, (jnp.int32(0), state))[1]


def _free(slots, state):
  """Free slots of each group."""
  ends = np.cumsum(slots.groups)[:-1]
  return jnp.stack([
    (id_R == FREE).sum() for id_R in jnp.split(state.id_B, ends)
  ])  # fmt: skip


def _give(slots, params, queue, state):
  """Gives free slots the next answers of their groups."""
  start, given, numbers = 0, [], []
  for R, own, next_ in zip(
    slots.groups, queue.answers, state.next_G, strict=True
  ):
    free_R = state.id_B[start : start + R] == FREE
    before_RxR = jnp.tril(jnp.ones((R, R), bool), -1)
    at_R = next_ + (free_R & before_RxR).sum(1, dtype=jnp.int32)
    take = lambda x_J, at_R=at_R: x_J.at[at_R].get(mode='clip')  # noqa: E731
    own_R = jax.tree.map(take, own.replace(number=()))
    given_R = free_R & (at_R < own.number) & (own_R.prompt_J < state.have)
    given.append((given_R, own_R.replace(values=()), own_R.values))
    numbers.append(given_R.sum(dtype=jnp.int32))
    start += R
  flat = [x[:2] for x in given]
  given_B, own_B = jax.tree.map(lambda *x: jnp.concatenate(x), *flat)
  values = tuple(
    jax.tree.map(functools.partial(_choose, given_R), new, old)
    for (given_R, _, new), old in zip(given, state.values, strict=True)
  )
  keep = lambda new_B, old_B: jnp.where(given_B, new_B, old_B)  # noqa: E731
  sampling = state.sampling.replace(
    temperature_B=keep(own_B.temperature_J, state.sampling.temperature_B),
    top_p_B=keep(own_B.top_p_J, state.sampling.top_p_B),
  )
  state = state.replace(
    id_B=keep(own_B.id_J, state.id_B),
    begun_B=keep(state.turn, state.begun_B),
    sampling=sampling,
    values=values,
    next_G=state.next_G + jnp.stack(numbers),
  )
  return _begin(slots, params, queue, state, given_B, own_B)


def _begin(slots, params, queue, state, given_B, own_B):
  """Starts the answers of the slots that were given some."""
  prompt_B = own_B.prompt_J
  token_BxS = queue.token_PxS.at[prompt_B].get(mode='clip')
  length_B = queue.length_P.at[prompt_B].get(mode='clip')
  example_B = queue.example_P.at[prompt_B].get(mode='clip')
  at_B = prompt_B % slots.stored
  has_read = tuple(x if x is None else x[at_B] for x in state.has_read)
  caches = []
  for model, cache, own, has_read_B in zip(
    slots.way.models,
    slots.way.caches(state.rows),
    state.store,
    has_read,
    strict=True,
  ):

    def copy(row, cache, model=model, own=own):
      return model.within(
        cache_lib.put, cache, row, own, at_B[row], 1, slots.width
      )

    wanted_B = given_B if has_read_B is None else given_B & has_read_B
    caches.append(_each(wanted_B, copy, cache))

  def draw(row, u_BxMxU):
    one = lambda x_B: lax.dynamic_slice_in_dim(x_B, row, 1)  # noqa: E731
    key_1 = keys.row_keys(queue.key, one(example_B), one(own_B.sample_J))
    u_1xMxU = keys.uniforms(key_1, slots.way.positions)
    u_1xMxU = u_1xMxU.astype(u_BxMxU.dtype)
    return lax.dynamic_update_slice_in_dim(u_BxMxU, u_1xMxU, row, 0)

  u_BxMxU = _each(given_B, draw, state.u_BxMxU)
  begun = []
  for model, cache in zip(slots.way.models, caches, strict=True):
    held_B, last_B = model.begin(token_BxS, length_B)
    held_B = jnp.where(given_B, held_B, cache.length_B)
    begun.append(cache_lib.rewind(cache, held_B))
  request = _request(queue, state.sampling, state.values)
  fresh = slots.way.start(params, request, begun, last_B)
  fresh = slots.way.with_read(fresh, has_read)
  none = slots.way.with_caches(state.rows, [None] * len(begun))
  rows = jax.tree.map(
    functools.partial(_choose, given_B),
    slots.way.with_caches(fresh, [None] * len(begun)),
    none,
  )
  return state.replace(rows=slots.way.with_caches(rows, begun), u_BxMxU=u_BxMxU)


def _each(wanted_B, function, carry):
  """`function` of (row, carry), of the rows that are wanted."""
  first_B = jnp.argsort(~wanted_B, stable=True)
  step = lambda i, carry: function(first_B[i], carry)  # noqa: E731
  return lax.fori_loop(0, wanted_B.sum(dtype=jnp.int32), step, carry)


def _choose(given_B, new, old):
  """What is new of the rows that were given some; what is of no row stays."""
  if new.shape[:1] != given_B.shape:
    return old
  return jnp.where(given_B.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _ended(state):
  """Which slots have an answer that has ended."""
  return state.rows.done_B & (state.id_B != FREE)


def _collect(slots, state):
  """Moves the answers that have ended to the table; their slots are free."""
  ended_B = _ended(state)
  before_BxB = jnp.tril(jnp.ones((slots.rows,) * 2, bool), -1)
  at_B = state.table.number + (ended_B & before_BxB).sum(1, dtype=jnp.int32)
  at_B = jnp.where(ended_B, at_B, slots.table)  # Past the end: not written.

  def move(table, rows, id_B, begun_B):
    put = lambda x_O, x_B: x_O.at[at_B].set(x_B, mode='drop')  # noqa: E731
    return Table(
      id_O=put(table.id_O, id_B),
      begun_O=put(table.begun_O, begun_B),
      ended_O=table.ended_O.at[at_B].set(state.turn, mode='drop'),
      result=jax.tree.map(put, table.result, slots.way.result(rows)),
      number=table.number + ended_B.sum(dtype=jnp.int32),
    )

  rows = slots.way.with_caches(state.rows, [None] * len(slots.way.models))
  table = blocks.when(
    ended_B.any(), move, state.table, rows, state.id_B, state.begun_B
  )
  return state.replace(table=table, id_B=jnp.where(ended_B, FREE, state.id_B))
