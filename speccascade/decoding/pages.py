"""Prompts that are read together, a page, and what is stored of them.

A page is read in chunks of its prompts' tokens, a chunk a call. A model that is
not to read it, a drafter that would not draft, computes and stores nothing.

Letters: B slots, R prompts of a page, G groups, N prompts that are stored,
P prompts, S their tokens (padded).
"""

import jax
import jax.numpy as jnp
from jax import lax

from speccascade.decoding import blocks
from speccascade.models import cache as cache_lib

_NEVER = 2**30  # A prompt past all others.


def chunk(slots, model, params):
  """Tokens of a chunk of a page."""
  return model.chunks(params, slots.reading, slots.width)[1]


def _page(slots, queue, state):
  """Prompts of the page that is read, or that comes next."""
  left = jnp.minimum(queue.number - state.have, slots.reading)
  return jnp.where(state.chunk == 0, left, state.page)


def due(slots, queue, state):
  """Whether there is a page to read, and room for all of it."""
  page = _page(slots, queue, state)
  prompt_G, waits_G = upcoming(queue, state)
  needed = jnp.where(waits_G, prompt_G, _NEVER).min()
  return (page > 0) & (state.have + page <= needed + slots.stored)


def upcoming(queue, state):
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


def read(slots, params, queue, state):
  """Reads a chunk of a page that is due, and stores it with its last one."""
  is_due, page = due(slots, queue, state), _page(slots, queue, state)
  at_R = state.have + jnp.arange(slots.reading)
  token_RxS = queue.token_PxS.at[at_R].get(mode='clip')
  length_R = queue.length_P.at[at_R].get(mode='clip')
  length_R = jnp.where(jnp.arange(slots.reading) < page, length_R, 1)
  reads = jax.tree.map(
    lambda now, before: jnp.where(state.chunk == 0, now, before),
    slots.way.reads(queue, state.rows),
    state.reads,
  )
  reader, last = [], jnp.int32(0)
  for model, own, cache, reads_it in zip(
    slots.way.models, params, state.reader, reads, strict=True
  ):
    size = chunk(slots, model, own)
    number = (length_R.max() + size - 1) // size
    number = number if reads_it is None else jnp.where(reads_it, number, 0)

    def go_on(cache, token_RxS, at, model=model, own=own, size=size):
      return model.read(own, cache, token_RxS, length_R, at, size)

    wanted = is_due & (state.chunk < number)
    reader.append(blocks.when(wanted, go_on, cache, token_RxS, state.chunk))
    last = jnp.maximum(last, number - 1)
  ends = is_due & (state.chunk >= last)
  stored = jnp.where(ends, page, 0)
  kept_R = jnp.arange(slots.reading) < stored
  place_R = jnp.where(kept_R, at_R % slots.stored, slots.stored)
  store, known = [], []
  for cache, own, reads_it, read_N in zip(
    state.store, reader, reads, state.read, strict=True
  ):

    def keep(i, cache, own=own):
      at = (state.have + i) % slots.stored
      return cache_lib.put(cache, at, own, i, 1, slots.width, shared=True)

    if reads_it is None:
      store.append(lax.fori_loop(0, stored, keep, cache))
      known.append(None)
    else:
      number = jnp.where(reads_it, stored, 0)
      store.append(lax.fori_loop(0, number, keep, cache))
      known.append(read_N.at[place_R].set(reads_it, mode='drop'))
  return state.replace(
    reader=tuple(reader),
    store=tuple(store),
    read=tuple(known),
    reads=reads,
    have=state.have + stored,
    page=page,
    chunk=jnp.where(ends, 0, state.chunk + is_due),
  )
