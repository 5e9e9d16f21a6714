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
  last = jnp.where(waits_G, prompt_G, _NEVER).min() + slots.stored
  # A page that was begun may be longer than a queue that was cut.
  last = jnp.minimum(last, queue.number)
  return (page > 0) & (state.have + page <= last)


def upcoming(queue, state):
  """(prompt of the next answer of each group, whether there is one)."""
  own = list(zip(queue.answers, state.next_G, strict=True))
  return (
    jnp.stack([x.prompt_J.at[next_].get(mode='clip') for x, next_ in own]),
    jnp.stack([next_ < x.number for x, next_ in own]),
  )


@jax.named_scope('prefill')
def read(slots, params, queue, state):
  """Reads a chunk of a page that is due, and stores it with its last one."""
  is_due, page = due(slots, queue, state), _page(slots, queue, state)
  at_R = state.have + jnp.arange(slots.reading)
  token_RxS = queue.token_PxS.at[at_R].get(mode='clip')
  length_R = queue.length_P.at[at_R].get(mode='clip')
  length_R = jnp.where(jnp.arange(slots.reading) < page, length_R, 1)
  wanted = jax.tree.map(  # As it was when the page was begun.
    lambda now, before: jnp.where(state.chunk == 0, now, before),
    slots.way.reads(queue, state.rows),
    state.wanted,
  )
  reader, last = [], jnp.int32(0)
  for model, own, cache, of_model in zip(
    slots.way.models, params, state.reader, wanted, strict=True
  ):
    size = chunk(slots, model, own)
    number = (length_R.max() + size - 1) // size
    number = number if of_model is None else jnp.where(of_model, number, 0)

    def go_on(cache, token_RxS, at, model=model, own=own, size=size):
      return model.read(own, cache, token_RxS, length_R, at, size)

    more = is_due & (state.chunk < number)
    reader.append(blocks.when(more, go_on, cache, token_RxS, state.chunk))
    last = jnp.maximum(last, number - 1)
  ends = is_due & (state.chunk >= last)
  stored = jnp.where(ends, page, 0)
  kept_R = jnp.arange(slots.reading) < stored
  place_R = jnp.where(kept_R, at_R % slots.stored, slots.stored)
  store, has_read = [], []
  for model, cache, own, of_model, has_read_N in zip(
    slots.way.models,
    state.store,
    reader,
    wanted,
    state.has_read,
    strict=True,
  ):

    def keep(i, cache, model=model, own=own):
      at = (state.have + i) % slots.stored
      return model.within(
        cache_lib.put, cache, at, own, i, 1, slots.width, shared=True
      )

    if of_model is None:
      store.append(lax.fori_loop(0, stored, keep, cache))
      has_read.append(None)
    else:
      number = jnp.where(of_model, stored, 0)
      store.append(lax.fori_loop(0, number, keep, cache))
      has_read.append(has_read_N.at[place_R].set(of_model, mode='drop'))
  return state.replace(
    reader=tuple(reader),
    store=tuple(store),
    has_read=tuple(has_read),
    wanted=wanted,
    have=state.have + stored,
    page=page,
    chunk=jnp.where(ends, 0, state.chunk + is_due),
  )
