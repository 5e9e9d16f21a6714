"""What an iteration of the cascade loop costs beside its parts.

The parts, measured alone on the same shapes: gamma + 1 drafter steps and one
verifier block. All run inside loops on the device; a time is the difference
between a long and a short loop over the difference in turns, so that prompts,
dispatch and compiling are apart. Everything is timed in turn, round by round,
and medians are taken over the rounds.

Letters: B rows, T tokens of a block.
"""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import distributions, rules
from speccascade.decoding import blocks
from speccascade.decoding import cascade as cascade_lib
from speccascade.models import cache as cache_lib

_SHORT, _LONG = 2, 18  # Turns of a timed loop.
_COUNTED = 8  # Turns whose tokens are counted: an answer seldom ends before.


@dataclasses.dataclass(frozen=True)
class Row:
  """Times of one batch size, in milliseconds; compile in seconds.

  `tokens` are those that a row commits in an iteration.
  """

  batch: int
  gamma: int
  drafter_step: float
  verifier_step: float
  verifier_block: float
  iteration: float
  tokens: float
  compile_seconds: float

  @property
  def parts(self):
    """Gamma + 1 drafter steps and one verifier block."""
    return (self.gamma + 1) * self.drafter_step + self.verifier_block


def measure(pair, prompts, gamma, rounds, temperature=1.0, alpha=0.5):
  """Times one batch under token_v3; the program holds every rule, as a sweep's.

  Args:
    pair: pairs.Pair.
    prompts: results.Prompts.
    gamma: draft length.
    rounds: how often each loop is timed.
    temperature: of both models.
    alpha: threshold.

  Returns:
    Row.
  """
  new_tokens = (_LONG + 1) * (gamma + 1)
  cascade = cascade_lib.Cascade(
    pair.drafter, pair.verifier, gamma, new_tokens, -1
  )
  alone = functools.partial(_extend_loop, prompts, new_tokens, gamma)
  programs = {
    'drafter_step': (alone, pair.drafter, pair.drafter_params, 1),
    'verifier_step': (alone, pair.verifier, pair.verifier_params, 1),
    'verifier_block': (alone, pair.verifier, pair.verifier_params, gamma + 1),
    'iteration': (
      _cascade_loop, cascade, pair.params, prompts, temperature, alpha,
    ),
  }  # fmt: skip
  loops = {k: f(*args) for k, (f, *args) in programs.items()}
  start = time.perf_counter()
  jax.block_until_ready(loops['iteration'](_SHORT))
  compile_seconds = time.perf_counter() - start
  for loop in loops.values():
    jax.block_until_ready(loop(_LONG))
  medians = _medians(loops, rounds)
  committed_B = loops['iteration'](_COUNTED)[0]
  return Row(
    batch=prompts.rows,
    gamma=gamma,
    tokens=float(committed_B.mean()) / _COUNTED,
    compile_seconds=compile_seconds,
    **medians,
  )


def costs(pair, prompts, gamma, rounds=5):
  """What an iteration of the schedule `cost` takes, by the tokens drafted.

  Args:
    pair: pairs.Pair.
    prompts: results.Prompts.
    gamma: longest draft length.
    rounds: how often each part is timed.

  Returns:
    list of milliseconds at 1, 2, ..., gamma + 1 tokens: so many drafter steps
    and the narrowest verifier block that holds them.
  """
  widths = blocks.widths(gamma + 1, fixed=False)
  alone = functools.partial(_extend_loop, prompts, gamma + 1, gamma)
  loops = {w: alone(pair.verifier, pair.verifier_params, w) for w in widths}
  loops[0] = alone(pair.drafter, pair.drafter_params, 1)
  for loop in loops.values():
    jax.block_until_ready(loop(_LONG))
  medians = _medians(loops, rounds)
  return [
    drafted * medians[0] + medians[min(w for w in widths if w >= drafted)]
    for drafted in range(1, gamma + 2)
  ]


def _medians(loops, rounds):
  """Milliseconds of a turn of each loop, timed in turns."""
  times = {k: [] for k in loops}
  for _ in range(rounds):
    for name, loop in loops.items():
      times[name].append(_seconds(loop, _LONG) - _seconds(loop, _SHORT))
  turns = _LONG - _SHORT
  return {k: float(np.median(v)) / turns * 1e3 for k, v in times.items()}


def table(rows):
  """Markdown: a line a batch size, times in milliseconds."""
  lines = [
    '| batch | γ | drafter step | verifier step | verifier block | parts '
    '| iteration | iteration / parts | tokens | ms a token | verifier alone '
    '| compile |',
    '|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ]
  lines += [
    f'| {r.batch} | {r.gamma} | {r.drafter_step:.3f} | {r.verifier_step:.2f} '
    f'| {r.verifier_block:.2f} | {r.parts:.2f} | {r.iteration:.2f} '
    f'| {r.iteration / r.parts:.2f} | {r.tokens:.2f} '
    f'| {r.iteration / r.tokens / r.batch:.2f} '
    f'| {r.verifier_step / r.batch:.2f} | {r.compile_seconds:.1f} s |'
    for r in rows
  ]
  return '\n'.join(lines)


def _seconds(loop, turns):
  start = time.perf_counter()
  jax.block_until_ready(loop(turns))
  return time.perf_counter() - start


def _extend_loop(prompts, new_tokens, gamma, model, params, T):
  """Turns -> tokens: greedy blocks of T, rewound each turn."""

  @jax.jit
  def loop(params, prompts, turns):
    cache, last_B = model.prefill(
      params,
      prompts.token_PxS,
      prompts.length_P,
      new_tokens=new_tokens,
      block=gamma + 1,
    )
    length_B = cache.length_B

    def turn(_, carry):
      cache, block_BxT = carry
      logits_BxTxV, cache = model.extend(params, cache, block_BxT)
      block_BxT = logits_BxTxV.argmax(-1).astype(jnp.int32)
      return cache_lib.rewind(cache, length_B), block_BxT

    block_BxT = jnp.tile(last_B[:, None], T)
    return lax.fori_loop(0, turns, turn, (cache, block_BxT))[1]

  return functools.partial(loop, params, jax.tree.map(jnp.asarray, prompts))


def _cascade_loop(cascade, params, prompts, temperature, alpha):
  """Turns -> (lengths, tokens, counts): iterations of the real loop."""
  B = prompts.rows
  sampling = distributions.Sampling(jnp.full(B, temperature), jnp.ones(B))
  key = jax.random.key(0)
  alpha_B = jnp.full(B, alpha)

  index = cascade.rules.index(rules.token_v3)

  @jax.jit
  def loop(params, prompts, rule, turns):
    state = cascade_lib.init(cascade, params, prompts)
    step = functools.partial(
      cascade_lib.iterate,
      cascade,
      params,
      sampling,
      rule,
      alpha_B,
      cascade_lib.uniforms(cascade, prompts, key),
      (),
    )
    state = lax.fori_loop(0, turns, lambda _, s: step(s), state)
    return state.length_B, state.token_BxM, cascade_lib.counts(state)

  prompts = jax.tree.map(jnp.asarray, prompts)
  return functools.partial(loop, params, prompts, index)
