"""What an iteration of the cascade loop costs beside its parts.

The parts: the drafter steps and the verifier block that it runs, each timed
alone in a loop of its own, in turn with the loop itself.

Letters: B rows, T tokens of a block, K turns of a loop.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import benchmark, distributions, rules
from speccascade.decoding import blocks, checks
from speccascade.decoding import cascade as cascade_lib
from speccascade.decoding.schedules import SCHEDULES
from speccascade.models import cache as cache_lib
from speccascade.tasks import tokenizer as tokenizer_lib


@dataclasses.dataclass(frozen=True)
class Row:
  """An iteration of one schedule at one batch size, times in milliseconds.

  Attributes:
    schedule: its name.
    batch: rows.
    gamma: draft length, the longest of a schedule.
    drafter_step: one step.
    verifier_step: a block of one token.
    steps: drafter steps of an iteration, as many as its longest draft.
    width: tokens of its verifier block.
    block: what such blocks cost alone.
    overhead: iteration over parts, timed side by side.
    tokens: that a row commits in an iteration.
    compile_seconds: of the loop, with its first run.
  """

  schedule: str
  batch: int
  gamma: int
  drafter_step: float
  verifier_step: float
  steps: float
  width: float
  block: float
  overhead: float
  tokens: float
  compile_seconds: float

  @property
  def parts(self):
    """The drafter steps and the verifier block of an iteration, alone."""
    return self.steps * self.drafter_step + self.block

  @property
  def iteration(self):
    """An iteration of the loop."""
    return self.overhead * self.parts


def measure(
  pair, prompts, plans, new_tokens, rounds, temperature=1.0, alpha=0.5
):
  """Times iterations under token_v3, and their parts.

  The loops decode answers as a sweep does, with every rule in the program; a
  row that has ended begins its answer again.

  Args:
    pair: pairs.Pair.
    prompts: list of results.Prompts of one shape, which the rounds take in
      turn.
    plans: {schedule: (gamma, its parameter)}; that of `cost` is measured.
    new_tokens: most tokens of an answer.
    rounds: how often each loop is timed.
    temperature: of both models.
    alpha: threshold.

  Returns:
    List of Row, one a plan.

  Raises:
    ValueError: the prompts, the temperature or a draft length is out of range;
      nothing was compiled.
  """
  checks.check_prompts(prompts[0], (pair.drafter, pair.verifier), new_tokens)
  checks.check_sampling(
    _sampling(temperature, prompts[0].rows), prompts[0].rows
  )
  for gamma, _ in plans.values():
    checks.check_gamma(gamma)
  loops, ran, widths, compile_seconds = {}, {}, {1}, {}
  for name, (gamma, parameter) in plans.items():
    schedule = SCHEDULES[name]
    own = blocks.widths(gamma + 1, fixed=schedule.more is None)
    if name == 'cost':
      costs = benchmark.costs(pair, prompts[:1], own, new_tokens, rounds=3)
      parameter = np.array(costs.iteration_G(own, gamma + 1))
    ends = gamma, new_tokens, tokenizer_lib.EOS
    cascade = cascade_lib.Cascade(
      pair.drafter, pair.verifier, *ends, schedule=schedule
    )
    loop = _loop(cascade, pair.params, parameter, prompts, temperature, alpha)
    compile_seconds[name] = benchmark.seconds(loop, benchmark.SHORT, 0)
    ran[name] = [_ran(loop, r, own) for r in range(len(prompts))]
    loops[name] = loop
    widths.update(own)
  parts = benchmark.parts(pair, prompts[0], widths, new_tokens)
  times = benchmark.turns(parts | loops, rounds)
  part_times = {part: times[part] for part in parts}
  return [
    Row(
      schedule=name,
      batch=prompts[0].rows,
      gamma=gamma,
      compile_seconds=compile_seconds[name],
      **_summary(ran[name], times[name], part_times),
    )
    for name, (gamma, _) in plans.items()
  ]


def table(rows):
  """Markdown: a line a row, times in milliseconds."""
  lines = [
    '| batch | schedule | γ | drafter step | verifier step | steps | width '
    '| block | parts | iteration | iteration / parts | tokens | ms a token '
    '| verifier alone | compile |',
    '|--:|:--|' + '--:|' * 13,
  ]
  lines += [
    f'| {r.batch} | {r.schedule} | {r.gamma} | {r.drafter_step:.3f} '
    f'| {r.verifier_step:.2f} | {r.steps:.1f} | {r.width:.1f} '
    f'| {r.block:.2f} | {r.parts:.2f} | {r.iteration:.2f} '
    f'| {r.overhead:.2f} | {r.tokens:.2f} '
    f'| {r.iteration / r.tokens / r.batch:.2f} '
    f'| {r.verifier_step / r.batch:.2f} | {r.compile_seconds:.1f} s |'
    for r in rows
  ]
  return '\n'.join(lines)


@dataclasses.dataclass(frozen=True)
class _Ran:
  """An iteration in the mean: drafter steps, {T: share of blocks}, tokens."""

  steps: float
  blocks: dict[int, float]
  tokens: float

  def block(self, ms):
    return sum(share * ms['verifier', T] for T, share in self.blocks.items())

  def parts(self, ms):
    return self.steps * ms['drafter', 1] + self.block(ms)


def _ran(loop, r, widths):
  """_Ran of the turns that are timed in round r."""
  drafted_KxB, committed_KxB = jax.device_get(loop(benchmark.LONG, r))
  steps_K = drafted_KxB[benchmark.SHORT :].max(1)
  width_K = np.array(widths)[np.searchsorted(widths, steps_K)]
  return _Ran(
    steps=float(steps_K.mean()),
    blocks={T: float(np.mean(width_K == T)) for T in widths},
    tokens=float(committed_KxB[benchmark.SHORT :].mean()),
  )


def _summary(ran, times_R, part_times):
  """The fields of a Row that hang on what ran, a _Ran for each prompt."""
  ms = benchmark.medians(part_times)
  mean = lambda of: float(np.mean([of(x) for x in ran]))  # noqa: E731
  overhead_R = [
    time / ran[r % len(ran)].parts({k: x[r] for k, x in part_times.items()})
    for r, time in enumerate(times_R)
  ]
  return dict(
    drafter_step=ms['drafter', 1],
    verifier_step=ms['verifier', 1],
    steps=mean(lambda x: x.steps),
    width=mean(lambda x: sum(T * share for T, share in x.blocks.items())),
    block=mean(lambda x: x.block(ms)),
    overhead=float(np.median(overhead_R)),
    tokens=mean(lambda x: x.tokens),
  )


def _loop(cascade, params, parameter, prompts, temperature, alpha):
  """(turns, round) -> (drafted_KxB, committed_KxB) of the real loop."""

  @jax.jit
  def loop(params, prompts, rule, parameter, turns):
    B = prompts.rows
    first = cascade_lib.init(cascade, params, prompts, parameter)
    iterate = functools.partial(
      cascade_lib.iterate,
      cascade,
      params,
      _sampling(temperature, B),
      rule,
      jnp.full(B, alpha),
      cascade_lib.uniforms(cascade, prompts, jax.random.key(0)),
      parameter,
    )

    def turn(k, carry):
      old, (drafted_KxB, committed_KxB) = carry
      new = iterate(old)
      drafted_B = new.tally.drafted_B - old.tally.drafted_B
      told = (
        drafted_KxB.at[k].set(drafted_B),
        committed_KxB.at[k].set(new.length_B - old.length_B),
      )
      return _restart(first, new), told

    none_KxB = jnp.zeros((benchmark.LONG, B), jnp.int32)
    return lax.fori_loop(0, turns, turn, (first, (none_KxB, none_KxB)))[1]

  rule = cascade.rules.index(rules.token_v3)
  prompts = jax.tree.map(jnp.asarray, prompts)
  return lambda turns, r: loop(
    params, prompts[r % len(prompts)], rule, parameter, turns
  )


def _sampling(temperature, B):
  return distributions.Sampling(jnp.full(B, temperature), jnp.ones(B))


def _restart(first, state):
  """The state with each row that is done back at its first."""

  def again(old, new):
    if new.shape[:1] != state.done_B.shape:  # Of no row, and never changed.
      return new
    done = state.done_B.reshape(-1, *[1] * (new.ndim - 1))
    return jnp.where(done, old, new)

  def rewind(old, new):
    return cache_lib.rewind(new, again(old.length_B, new.length_B))

  return state.replace(
    length_B=again(first.length_B, state.length_B),
    last_B=again(first.last_B, state.last_B),
    done_B=first.done_B,
    drafter_cache=rewind(first.drafter_cache, state.drafter_cache),
    verifier_cache=rewind(first.verifier_cache, state.verifier_cache),
    schedule=jax.tree.map(again, first.schedule, state.schedule),
  )
