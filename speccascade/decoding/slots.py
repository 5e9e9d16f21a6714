"""Continuous batching on the device: a row that ends takes the next prompt.

The rows of a batch are slots. Prompts wait in a queue on the device; each turn
of the loop

  1. reads a chunk of the prompts that come next, if there is room for them, so
     that no turn takes longer for a long prompt, and stores the keys and values
     of those it has read;
  2. gives each free slot the next answer of its group, with a copy of its
     prompt's keys and values: of all answers to a prompt it is read once;
     while a page of slots is free all the same, it reads a few chunks more;
  3. decodes an iteration of all slots;
  4. moves what has ended to a table.

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

from speccascade.decoding import blocks, results
from speccascade.decoding.queue import FREE, Queue, Slots, State, Table
from speccascade.models import cache as cache_lib
from speccascade.sampling import keys, probabilities

_NEVER = 2**30  # A prompt past all others.
_CHUNKS = 4  # Most chunks of a turn; a second one for as many idle slots as a
_IDLE = 16  # page holds, and at least one slot of so many.


def init(slots: Slots, params: tuple[Any, ...], queue: Queue) -> State:
  """Returns the state before the first turn: all slots are free."""
  B = slots.rows
  caches = functools.partial(_blank, slots, params)
  column_B, zero_B = jnp.ones(B), jnp.zeros(B, jnp.int32)
  sampling = probabilities.Sampling(
    column_B, column_B, queue.top_k, queue.plain
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
    reader=caches(slots.reading, shared=True),
    store=caches(slots.stored, shared=True),
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
    room = state.table.number <= slots.table - slots.rows
    waiting = jnp.any(state.next_G < _numbers(queue))
    return (state.turn < last) & room & (waiting | jnp.any(state.id_B != FREE))

  def turn(state):
    state = _fill(slots, params, queue, state)
    request = _request(queue, state.sampling, state.values)
    rows = slots.way.iterate(params, request, state.u_BxMxU, state.rows)
    busy = state.busy + (state.id_B != FREE).sum(dtype=jnp.int32)
    state = state.replace(rows=rows, busy=busy, turn=state.turn + 1)
    return _collect(slots, state)

  table = state.table.replace(number=jnp.int32(0))
  return lax.while_loop(goes_on, turn, state.replace(table=table))


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


# --- Prompts.


def _chunk(slots, model, params):
  """Tokens of a chunk of a page."""
  return model.chunks(params, slots.reading, slots.width)[1]


def _blank(slots, params, rows, shared=False):
  """Caches of rows that hold nothing, one a model."""
  return tuple(
    model.blank(
      own,
      rows,
      slots.width,
      new_tokens=new_tokens,
      block=block,
      chunk=_chunk(slots, model, own),
      shared=shared,
    )
    for model, own, (new_tokens, block) in zip(
      slots.way.models, params, slots.way.rooms, strict=True
    )
  )


def _fill(slots, params, queue, state):
  """Reads prompts and gives slots what continues them; most turns need not."""
  page = max(slots.reading, slots.rows // _IDLE)

  def goes_on(carry):
    chunks, state = carry
    due, (prompt_G, waits_G) = _due(slots, queue, state), _next(queue, state)
    idle_G = jnp.where(waits_G, _free(slots, state), 0)
    gives = jnp.any((idle_G > 0) & (prompt_G < state.have))
    again = (chunks < _CHUNKS) & due & (idle_G.sum() >= page)
    return jnp.where(chunks == 0, due | gives, again)

  def fill(carry):
    chunks, state = carry
    state = _give(slots, params, queue, _read(slots, params, queue, state))
    return chunks + 1, state

  return lax.while_loop(goes_on, fill, (jnp.int32(0), state))[1]


def _page(slots, queue, state):
  """Prompts of the page that is read, or that comes next."""
  left = jnp.minimum(queue.number - state.have, slots.reading)
  return jnp.where(state.chunk == 0, left, state.page)


def _due(slots, queue, state):
  """Whether there is a page to read, and room for all of it."""
  page = _page(slots, queue, state)
  prompt_G, waits_G = _next(queue, state)
  needed = jnp.where(waits_G, prompt_G, _NEVER).min()
  return (page > 0) & (state.have + page <= needed + slots.stored)


def _next(queue, state):
  """(prompt of the next answer of each group, whether there is one)."""
  return tuple(
    jnp.stack(x)
    for x in zip(
      *(
        (own.prompt_J.at[next_].get(mode='clip'), next_ < own.number)
        for next_, own in zip(state.next_G, queue.answers, strict=True)
      ),
      strict=True,
    )
  )


def _free(slots, state):
  """Free slots of each group."""
  ends = np.cumsum(slots.groups)[:-1]
  return jnp.stack([
    (id_R == FREE).sum() for id_R in jnp.split(state.id_B, ends)
  ])  # fmt: skip


def _read(slots, params, queue, state):
  """Reads a chunk of a page that is due, and stores it with its last one."""
  due, page = _due(slots, queue, state), _page(slots, queue, state)
  at_R = state.have + jnp.arange(slots.reading)
  token_RxS = queue.token_PxS.at[at_R].get(mode='clip')
  length_R = queue.length_P.at[at_R].get(mode='clip')
  length_R = jnp.where(jnp.arange(slots.reading) < page, length_R, 1)
  reader, last = [], jnp.int32(0)
  for model, own, cache in zip(
    slots.way.models, params, state.reader, strict=True
  ):
    size = _chunk(slots, model, own)
    number = (length_R.max() + size - 1) // size

    def read(cache, token_RxS, chunk, model=model, own=own, size=size):
      return model.read(own, cache, token_RxS, length_R, chunk, size)

    wanted = due & (state.chunk < number)
    reader.append(blocks.when(wanted, read, cache, token_RxS, state.chunk))
    last = jnp.maximum(last, number - 1)
  read = due & (state.chunk >= last)

  def store(i, store):
    return tuple(
      cache_lib.put(
        cache,
        (state.have + i) % slots.stored,
        own,
        i,
        1,
        slots.width,
        shared=True,
      )
      for cache, own in zip(store, reader, strict=True)
    )

  return state.replace(
    reader=tuple(reader),
    store=lax.fori_loop(0, jnp.where(read, page, 0), store, state.store),
    have=state.have + jnp.where(read, page, 0),
    page=page,
    chunk=jnp.where(read, 0, state.chunk + due),
  )


# --- Slots.


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
  position_1xM = jnp.arange(slots.way.positions)[None]
  caches = slots.way.caches(state.rows)
  first_B = jnp.argsort(~given_B, stable=True)  # Slots, those given first.

  def begin(i, carry):
    caches, u_BxMxU = carry
    row = first_B[i]
    at = prompt_B[row] % slots.stored
    caches = tuple(
      cache_lib.put(cache, row, own, at, 1, slots.width)
      for cache, own in zip(caches, state.store, strict=True)
    )
    one = lambda x_B: lax.dynamic_slice_in_dim(x_B, row, 1)  # noqa: E731
    key_1 = keys.row_keys(queue.key, one(example_B), one(own_B.sample_J))
    u_1xMxU = keys.uniforms(key_1, position_1xM).astype(u_BxMxU.dtype)
    u_BxMxU = lax.dynamic_update_slice_in_dim(u_BxMxU, u_1xMxU, row, 0)
    return caches, u_BxMxU

  caches, u_BxMxU = lax.fori_loop(
    0, given_B.sum(dtype=jnp.int32), begin, (caches, state.u_BxMxU)
  )
  begun = []
  for model, cache in zip(slots.way.models, caches, strict=True):
    held_B, last_B = model.begin(token_BxS, length_B)
    held_B = jnp.where(given_B, held_B, cache.length_B)
    begun.append(cache_lib.rewind(cache, held_B))
  request = _request(queue, state.sampling, state.values)
  fresh = slots.way.start(params, request, begun, last_B)
  none = slots.way.with_caches(state.rows, [None] * len(begun))
  rows = jax.tree.map(
    functools.partial(_choose, given_B),
    slots.way.with_caches(fresh, [None] * len(begun)),
    none,
  )
  return state.replace(rows=slots.way.with_caches(rows, begun), u_BxMxU=u_BxMxU)


def _choose(given_B, new, old):
  """What is new of the rows that were given some; what is of no row stays."""
  if new.shape[:1] != given_B.shape:
    return old
  return jnp.where(given_B.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _collect(slots, state):
  """Moves the answers that have ended to the table; their slots are free."""
  ended_B = state.rows.done_B & (state.id_B != FREE)
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
