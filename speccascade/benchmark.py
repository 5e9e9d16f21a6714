"""What the parts of decoding cost: drafter steps, verifier blocks, prompts.

All run inside loops on the device; a time is the difference between a long and
a short loop over the difference in turns, so that dispatch and compiling are
apart. Everything is timed in turn, round by round, and medians are taken over
the rounds.

Letters: B rows, T tokens of a block, G most tokens of a draft, S prompt width.
"""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.models import cache as cache_lib

SHORT, LONG = 2, 18  # Turns of a timed loop.


@dataclasses.dataclass(frozen=True)
class Costs:
  """Times of the parts of decoding, in milliseconds.

  `Costs(**fields)` makes it again from `dataclasses.asdict`, also after JSON,
  whose keys are strings.

  Attributes:
    drafter_step: of one token.
    verifier_block: {T: of a block of so many tokens}.
    prefill: {S: {'drafter': of reading prompts of this width, 'verifier':
      likewise}}.
  """

  drafter_step: float
  verifier_block: dict[int, float]
  prefill: dict[int, dict[str, float]]

  def __post_init__(self):
    for name in ('verifier_block', 'prefill'):
      by_width = {int(k): v for k, v in getattr(self, name).items()}
      object.__setattr__(self, name, by_width)

  def iteration_G(self, widths, G):
    """The parts of an iteration at 1, 2, ..., G drafted tokens.

    Args:
      widths: of the blocks that there are, the widest at least G.
      G: most tokens of a draft.

    Returns:
      Tuple of milliseconds: so many drafter steps and the narrowest block that
      holds them. The schedule `cost` takes it.
    """
    return tuple(
      d * self.drafter_step
      + self.verifier_block[min(w for w in widths if w >= d)]
      for d in range(1, G + 1)
    )


def costs(pair, prompts, widths, new_tokens, rounds=5):
  """Times the parts of decoding.

  Args:
    pair: pairs.Pair.
    prompts: list of results.Prompts of different widths S and as many rows;
      steps and blocks are timed after the first.
    widths: T of the verifier blocks.
    new_tokens: most tokens generated, for which caches are made.
    rounds: how often each part is timed.

  Returns:
    Costs.
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


def turns(loops, rounds):
  """Times loops in turn, round by round, after a first run of each.

  Args:
    loops: {name: (turns, round) -> what the loop ends with}.
    rounds: how often each is timed.

  Returns:
    {name: milliseconds of a turn in each round}.
  """
  for loop in loops.values():
    seconds(loop, LONG, 0)
  ms = {name: np.zeros(rounds) for name in loops}
  for r in range(rounds):
    for name, loop in loops.items():
      longer = seconds(loop, LONG, r) - seconds(loop, SHORT, r)
      ms[name][r] = longer / (LONG - SHORT) * 1e3
  return ms


def medians(ms):
  """The median of each value's rounds."""
  return {name: float(np.median(ms_R)) for name, ms_R in ms.items()}


def seconds(loop, turns, r):
  """Seconds of so many turns of a loop, as in round r."""
  start = time.perf_counter()
  jax.block_until_ready(loop(turns, r))
  return time.perf_counter() - start


def parts(pair, prompts, widths, new_tokens):
  """The loops of a drafter step and of verifier blocks.

  Args:
    pair: pairs.Pair.
    prompts: results.Prompts.
    widths: T of the blocks.
    new_tokens: most tokens generated, for which caches are made.

  Returns:
    {('drafter', 1) or ('verifier', T): (turns, round) -> tokens}.
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
  """(turns, round) -> tokens: greedy blocks of T, rewound each turn."""

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
  """(turns, round) -> cache: prompts read, rolled on before each turn."""

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
