"""Times the parts of decoding: drafter steps, verifier blocks and prefills.

Each part runs in a loop on the device. Its time is the difference between a
long and a short loop over the difference in turns, which excludes dispatch and
compilation. A round times every part once; the result is the median over the
rounds.

Letters: B rows, P prompts, S prompt width, T tokens of a block, G most tokens
of a draft.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.models import cache as cache_lib
from speccascade.timing import clock

Loop = Callable[[int, int], Any]  # (turns, round) -> what the loop ends with.

SHORT, LONG = 2, 18  # Turns of a timed loop.


@dataclasses.dataclass(frozen=True)
class Costs:
  """Times of the parts of decoding, in milliseconds.

  `Costs(**fields)` restores it from `dataclasses.asdict`, even after JSON,
  which turns the widths into strings.

  Attributes:
    drafter_step: time of a drafter step, which is one token.
    verifier_block: {T: time of a block of T tokens}.
    prefill: {S: {role: time of the prefill of prompts of width S}}, of the
      roles 'drafter' and 'verifier'.
  """

  drafter_step: float
  verifier_block: dict[int, float]
  prefill: dict[int, dict[str, float]]

  def __post_init__(self):
    for name in ('verifier_block', 'prefill'):
      by_width = {int(k): v for k, v in getattr(self, name).items()}
      object.__setattr__(self, name, by_width)

  def iteration_G(self, widths: Sequence[int], G: int) -> tuple[float, ...]:
    """Returns the time of an iteration with 1, 2, ..., G drafted tokens.

    An iteration takes a drafter step for each token and the narrowest block
    that holds them. It is the parameter of the schedule `cost`.

    Args:
      widths: widths of the available blocks; the widest is at least G.
      G: most tokens of a draft.

    Returns:
      Milliseconds.
    """
    return tuple(
      d * self.drafter_step
      + self.verifier_block[min(w for w in widths if w >= d)]
      for d in range(1, G + 1)
    )


def costs(pair, prompts, widths, new_tokens: int, rounds: int = 5) -> Costs:
  """Times the parts of decoding.

  Args:
    pair: pairs.Pair.
    prompts: list of results.Prompts of different widths S and equal numbers of
      rows; steps and blocks are timed after the first.
    widths: T of the verifier blocks.
    new_tokens: most generated tokens, for which the caches have room.
    rounds: number of timings of each part.
  """
  loops = parts(pair, prompts[0], widths, new_tokens)
  for p in prompts:
    for role in ('drafter', 'verifier'):
      model, params = getattr(pair, role), getattr(pair, f'{role}_params')
      S = p.token_PxS.shape[1]
      loops[S, role] = _prefill_loop(p, new_tokens, max(widths), model, params)
  ms = medians(turns(loops, rounds))
  return Costs(
    drafter_step=ms['drafter', 1],
    verifier_block={T: ms['verifier', T] for T in widths},
    prefill={
      S: {role: ms[S, role] for role in ('drafter', 'verifier')}
      for S in (p.token_PxS.shape[1] for p in prompts)
    },
  )


def turns(loops: dict[Any, Loop], rounds: int) -> dict[Any, np.ndarray]:
  """Times a turn of each loop, one loop after the other in each round.

  Each loop runs once before, which compiles it.

  Args:
    loops: {name: loop}.
    rounds: number of timings of each loop.

  Returns:
    {name: milliseconds of a turn in each round}.
  """
  for loop in loops.values():
    clock.seconds(loop, LONG, 0)
  ms = {name: np.zeros(rounds) for name in loops}
  for r in range(rounds):
    for name, loop in loops.items():
      _, long = clock.seconds(loop, LONG, r)
      _, short = clock.seconds(loop, SHORT, r)
      ms[name][r] = (long - short) / (LONG - SHORT) * 1e3
  return ms


def medians(ms: dict[Any, np.ndarray]) -> dict[Any, float]:
  """Returns the median over the rounds of each loop."""
  return {name: float(np.median(times)) for name, times in ms.items()}


def parts(
  pair, prompts, widths, new_tokens: int
) -> dict[tuple[str, int], Loop]:
  """Returns the loops of a drafter step and of verifier blocks.

  Args:
    pair: pairs.Pair.
    prompts: results.Prompts.
    widths: T of the blocks.
    new_tokens: most generated tokens, for which the caches have room.

  Returns:
    {('drafter', 1) or ('verifier', T): loop that ends with tokens}.
  """
  block = max(widths)
  alone = functools.partial(_extend_loop, prompts, new_tokens, block)
  loops = {
    ('verifier', T): alone(pair.verifier, pair.verifier_params, T)
    for T in sorted(widths)
  }
  loops['drafter', 1] = alone(pair.drafter, pair.drafter_params, 1)
  return loops


def _extend_loop(prompts, new_tokens, block, model, params, T):
  """A loop of greedy blocks of T tokens; each turn rewinds the cache."""

  @jax.jit
  def loop(params, prompts, turns):
    cache, last_B = _prefill(model, params, prompts, new_tokens, block)
    length_B = cache.length_B

    def turn(_, carry):
      cache, block_BxT = carry
      logits_BxTxV, cache = model.extend(params, cache, block_BxT)
      block_BxT = logits_BxTxV.argmax(-1).astype(jnp.int32)
      return cache_lib.rewind(cache, length_B), block_BxT

    block_BxT = jnp.tile(last_B[:, None], T)
    return lax.fori_loop(0, turns, turn, (cache, block_BxT))[1]

  prompts = jax.tree.map(jnp.asarray, prompts)
  return lambda turns, r: loop(params, prompts, turns)


def _prefill_loop(prompts, new_tokens, block, model, params):
  """A loop of prefills; each turn rolls the prompts, so that none is reused."""

  @jax.jit
  def loop(params, prompts, turns):
    def turn(k, _):
      token_PxS = jnp.roll(prompts.token_PxS, k, 1)
      rolled = prompts.replace(token_PxS=token_PxS)
      return _prefill(model, params, rolled, new_tokens, block)

    return lax.fori_loop(1, turns, turn, turn(0, None))

  prompts = jax.tree.map(jnp.asarray, prompts)
  return lambda turns, r: loop(params, prompts, turns)


def _prefill(model, params, prompts, new_tokens, block):
  return model.prefill(
    params,
    prompts.token_PxS,
    prompts.length_P,
    new_tokens=new_tokens,
    block=block,
  )
