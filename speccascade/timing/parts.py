"""The parts of decoding, each in a loop: steps, blocks and prefills.

Letters: P prompts, S prompt width, B rows, T tokens of a block.
"""

import functools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from speccascade import pairs, sharding
from speccascade.decoding import results
from speccascade.decoding.prefill import prefill
from speccascade.models import cache as cache_lib
from speccascade.timing import turns

ROLES = 'drafter', 'verifier'


def blocks(
  pair: pairs.Pair,
  prompts: results.Prompts,
  widths: Iterable[int],
  new_tokens: int,
  read: Callable = prefill,
) -> dict[tuple[str, int], turns.Loop]:
  """Returns the loops of a drafter step and of verifier blocks.

  Args:
    pair: Pair.
    prompts: that come before.
    widths: T of the blocks.
    new_tokens: most generated tokens, for which the caches have room.
    read: reads the prompts, as `prefill.prefill`.

  Returns:
    {('drafter', 1) or ('verifier', T): loop that ends with tokens}.
  """
  prompts = jax.tree.map(jnp.asarray, prompts)
  loops = {}
  for role, own in zip(ROLES, ([1], sorted(widths)), strict=True):
    model, params = _side(pair, role)
    begin = functools.partial(
      read, model, new_tokens=new_tokens, block=max(widths)
    )
    start = functools.partial(sharding.on_mesh, jax.jit(begin), params, prompts)
    for T in own:
      run = jax.jit(functools.partial(_extend, model, T))
      loops[role, T] = turns.Loop(
        start, functools.partial(sharding.on_mesh, run, params)
      )
  return loops


def prefills(
  pair: pairs.Pair,
  groups: Sequence[results.Prompts],
  new_tokens: int,
  block: int,
) -> dict[tuple[int, str], turns.Loop]:
  """Returns the loops of prefills.

  Args:
    pair: Pair.
    groups: prompts of different widths S.
    new_tokens: most generated tokens, for which the caches have room.
    block: T of the widest block.

  Returns:
    {(S, role): loop that ends with a cache}.
  """
  loops = {}
  for prompts in jax.tree.map(jnp.asarray, list(groups)):
    for role in ROLES:
      model, params = _side(pair, role)
      read = functools.partial(
        prefill, model, new_tokens=new_tokens, block=block
      )
      run = jax.jit(functools.partial(_read_again, read))
      loops[prompts.token_PxS.shape[1], role] = turns.Loop(
        functools.partial(_zeros_like, read, params, prompts),
        functools.partial(sharding.on_mesh, run, params, prompts),
      )
  return loops


def _side(pair, role):
  return getattr(pair, role), getattr(pair, f'{role}_params')


def _extend(model, T, params, start, turns):
  """Greedy blocks of T tokens; each turn rewinds the cache."""
  cache, last_B = start
  length_B = cache.length_B

  def turn(_, carry):
    cache, block_BxT = carry
    logits_BxTxV, cache = model.extend(params, cache, block_BxT)
    block_BxT = logits_BxTxV.argmax(-1).astype(jnp.int32)
    return cache_lib.rewind(cache, length_B), block_BxT

  block_BxT = jnp.tile(last_B[:, None], T)
  return lax.fori_loop(0, turns, turn, (cache, block_BxT))[1]


def _read_again(read, params, prompts, start, turns):
  """Prefills; each turn rolls the prompts, so that none is reused."""

  def turn(k, _):
    rolled = prompts.replace(token_PxS=jnp.roll(prompts.token_PxS, k, 1))
    return read(params, rolled)

  return lax.fori_loop(0, turns, turn, start)


def _zeros_like(function, *args):
  """Zeros of the shapes that a function returns."""
  shapes = jax.eval_shape(function, *args)
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
