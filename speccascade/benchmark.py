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
from speccascade.decoding import cascade as cascade_lib
from speccascade.decoding import results
from speccascade.models import cache as cache_lib

_SHORT, _LONG = 2, 18  # Turns of a timed loop.
_WIDTH = 64  # Prompt tokens.


@dataclasses.dataclass(frozen=True)
class Row:
  """Times of one batch size, in milliseconds; compile in seconds."""

  batch: int
  gamma: int
  drafter_step: float
  verifier_step: float
  verifier_block: float
  iteration: float
  compile_seconds: float

  @property
  def parts(self):
    """Gamma + 1 drafter steps and one verifier block."""
    return (self.gamma + 1) * self.drafter_step + self.verifier_block


def measure(pair, batch, gamma, rounds, rule=rules.token_v3, alpha=0.5):
  """Times one batch size.

  Args:
    pair: pairs.Pair.
    batch: B.
    gamma: draft length.
    rounds: how often each loop is timed.
    rule: what the iteration follows.
    alpha: its threshold.

  Returns:
    Row.
  """
  prompts = _prompts(pair, batch)
  capacity = (_LONG + 1) * (gamma + 1)
  cascade = cascade_lib.Cascade(
    pair.drafter, pair.verifier, gamma, capacity, -1, rules=(rule,)
  )
  alone = functools.partial(_extend_loop, prompts, capacity, gamma)
  programs = {
    'drafter_step': (alone, pair.drafter, pair.drafter_params, 1),
    'verifier_step': (alone, pair.verifier, pair.verifier_params, 1),
    'verifier_block': (alone, pair.verifier, pair.verifier_params, gamma + 1),
    'iteration': (_cascade_loop, cascade, pair.params, prompts, alpha),
  }
  loops = {k: f(*args) for k, (f, *args) in programs.items()}
  start = time.perf_counter()
  jax.block_until_ready(loops['iteration'](_SHORT))
  compile_seconds = time.perf_counter() - start
  times = {k: [] for k in loops}
  for loop in loops.values():
    jax.block_until_ready(loop(_LONG))
  for _ in range(rounds):
    for name, loop in loops.items():
      times[name].append(_seconds(loop, _LONG) - _seconds(loop, _SHORT))
  turns = _LONG - _SHORT
  medians = {k: float(np.median(v)) / turns * 1e3 for k, v in times.items()}
  return Row(
    batch=batch, gamma=gamma, compile_seconds=compile_seconds, **medians
  )


def table(rows):
  """Markdown: a line a batch size."""
  lines = [
    '| batch | γ | drafter step | verifier step | verifier block | parts '
    '| iteration | iteration / parts | compile |',
    '|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ]
  lines += [
    f'| {r.batch} | {r.gamma} | {r.drafter_step:.3f} ms '
    f'| {r.verifier_step:.2f} ms | {r.verifier_block:.2f} ms '
    f'| {r.parts:.2f} ms | {r.iteration:.2f} ms '
    f'| {r.iteration / r.parts:.2f} | {r.compile_seconds:.1f} s |'
    for r in rows
  ]
  return '\n'.join(lines)


def _seconds(loop, turns):
  start = time.perf_counter()
  jax.block_until_ready(loop(turns))
  return time.perf_counter() - start


def _prompts(pair, batch):
  rng = np.random.default_rng(0)
  vocab = pair.drafter.vocab_size
  token_BxS = rng.integers(4, vocab, (batch, _WIDTH)).astype(np.int32)
  length_B = np.linspace(_WIDTH // 2, _WIDTH, batch).astype(np.int32)
  return results.Prompts(token_BxS, length_B, np.arange(batch))


def _extend_loop(prompts, capacity, gamma, model, params, T):
  """Turns -> tokens: greedy blocks of T, rewound each turn."""

  @jax.jit
  def loop(params, prompts, turns):
    cache, last_B = model.prefill(
      params,
      prompts.token_PxS,
      prompts.length_P,
      capacity=prompts.token_PxS.shape[1] + capacity,
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


def _cascade_loop(cascade, params, prompts, alpha):
  """Turns -> tokens: iterations of the real loop, no row ending."""
  B = prompts.rows
  sampling = distributions.Sampling(jnp.ones(B), jnp.ones(B))
  key_B = distributions.row_keys(jax.random.key(0), jnp.arange(B))
  alpha_B = jnp.full(B, alpha)

  @jax.jit
  def loop(params, prompts, turns):
    state = cascade_lib.init(cascade, params, prompts)
    step = functools.partial(
      cascade_lib.iterate,
      cascade,
      params,
      sampling,
      0,
      alpha_B,
      key_B,
      prompts.length_P,
    )
    return lax.fori_loop(0, turns, lambda _, s: step(s), state).token_BxM

  return functools.partial(loop, params, jax.tree.map(jnp.asarray, prompts))
