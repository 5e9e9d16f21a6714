"""What an iteration of the decoding loop costs beside its parts.

The parts are the drafter steps and the verifier block of the iteration. Each is
timed alone in a loop of its own, in turn with the decoding loop.

Letters: B rows, T tokens of a block, K turns of a loop, R rounds.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import methods, tokenizers
from speccascade.decoding import blocks, checks, results, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.models import cache as cache_lib
from speccascade.sampling import probabilities
from speccascade.timing import clock, costs

METHOD = 'token_v3'  # Whose iterations are timed.


@dataclasses.dataclass(frozen=True)
class Row:
  """An iteration of one schedule at one batch size, times in milliseconds.

  Attributes:
    schedule: its name.
    batch: rows.
    gamma: draft length, the longest where the schedule is not fixed.
    drafter_step: time of one step.
    verifier_step: time of a block of one token.
    steps: drafter steps of an iteration: the tokens of its longest draft.
    width: tokens of its verifier block.
    block: time of such blocks alone.
    overhead: iteration over parts, timed side by side.
    tokens: tokens that a row commits in an iteration.
    compile_seconds: time to compile the loop and run it once.
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
  def parts(self) -> float:
    """Time of an iteration's drafter steps and verifier block alone."""
    return self.steps * self.drafter_step + self.block

  @property
  def iteration(self) -> float:
    """Time of an iteration of the loop."""
    return self.overhead * self.parts


def measure(
  pair,
  prompts: Sequence[results.Prompts],
  plans: Sequence[schedules.Plan],
  new_tokens: int,
  rounds: int,
  temperature: float = 1.0,
  alpha: float = 0.5,
) -> list[Row]:
  """Times iterations under token_v3, and their parts.

  The loops decode answers as a sweep does; a row that has ended begins its
  answer again.

  Args:
    pair: pairs.Pair.
    prompts: of one shape, which the rounds take in turn.
    plans: of different schedules; the costs of a measured one are measured.
    new_tokens: most tokens of an answer.
    rounds: number of timings of each loop.
    temperature: of both models.
    alpha: parameter of the method.

  Returns:
    A Row for each plan.

  Raises:
    ValueError: the prompts, the temperature or a draft length is out of range;
      nothing was compiled.
  """
  B = prompts[0].rows
  models = pair.drafter, pair.verifier
  checks.check_prompts(prompts[0], models, new_tokens)
  checks.check_sampling(_sampling(temperature, B), B)
  groups = (loop_lib.Group(methods.METHODS[METHOD], B),)
  made = {}
  for plan in plans:
    ends = plan.gamma, new_tokens, tokenizers.EOS
    schedule = schedules.get(plan.schedule)
    made[plan.schedule] = loop_lib.Loop(*models, *ends, groups, schedule)
  timed, ran, widths, compile_seconds = {}, {}, {1}, {}
  for plan in plans:
    name = plan.schedule
    own = blocks.widths(plan.gamma + 1, plan.fixed)
    parameter = () if plan.parameter is None else plan.parameter
    if made[name].schedule.measured:
      found = costs.costs(pair, prompts[:1], own, new_tokens, rounds=3)
      parameter = np.array(found.iteration_G(own, plan.gamma + 1))
    requests = [_request(p, temperature, alpha, parameter) for p in prompts]
    timed[name] = _timed_loop(made[name], pair.params, requests)
    _, compile_seconds[name] = clock.seconds(timed[name], costs.SHORT, 0)
    ran[name] = [_ran(timed[name], r, own) for r in range(len(prompts))]
    widths.update(own)
  parts = costs.parts(pair, prompts[0], widths, new_tokens)
  times = costs.turns(parts | timed, rounds)
  part_times = {part: times[part] for part in parts}
  return [
    Row(
      schedule=plan.schedule,
      batch=B,
      gamma=plan.gamma,
      compile_seconds=compile_seconds[plan.schedule],
      **_summary(ran[plan.schedule], times[plan.schedule], part_times),
    )
    for plan in plans
  ]


def table(rows: Sequence[Row]) -> str:
  """Returns a Markdown table: a line for each row, times in milliseconds."""
  lines = [
    '| batch size | schedule | γ | drafter step | verifier step | steps '
    '| width | block | parts | iteration | iteration / parts | tokens '
    '| ms/token | verifier alone | compile |',
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
  """Means of an iteration.

  Attributes:
    steps: drafter steps.
    blocks: {T: share of the blocks of T tokens}.
    tokens: tokens that a row commits.
  """

  steps: float
  blocks: dict[int, float]
  tokens: float

  def block(self, ms):
    return sum(share * ms['verifier', T] for T, share in self.blocks.items())

  def parts(self, ms):
    return self.steps * ms['drafter', 1] + self.block(ms)


def _ran(loop, r, widths):
  """_Ran of the turns that are timed in round r."""
  drafted_KxB, committed_KxB = jax.device_get(loop(costs.LONG, r))
  steps_K = drafted_KxB[costs.SHORT :].max(1)
  width_K = np.array(widths)[np.searchsorted(widths, steps_K)]
  return _Ran(
    steps=float(steps_K.mean()),
    blocks={T: float(np.mean(width_K == T)) for T in widths},
    tokens=float(committed_KxB[costs.SHORT :].mean()),
  )


def _summary(ran, times_R, part_times):
  """The fields of a Row that depend on what ran, a _Ran for each prompt."""
  ms = costs.medians(part_times)
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


def _timed_loop(loop, params, requests):
  """(turns, round) -> (drafted_KxB, committed_KxB) of the decoding loop."""

  @jax.jit
  def run(params, request, turns):
    first = loop_lib.init(loop, params, request)
    iterate = functools.partial(
      loop_lib.iterate,
      loop,
      params,
      request,
      loop_lib.uniforms(loop, request),
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

    B = request.prompts.rows
    none_KxB = jnp.zeros((costs.LONG, B), jnp.int32)
    return lax.fori_loop(0, turns, turn, (first, (none_KxB, none_KxB)))[1]

  requests = jax.tree.map(jnp.asarray, requests)
  return lambda turns, r: run(params, requests[r % len(requests)], turns)


def _request(prompts, temperature, alpha, parameter):
  B = prompts.rows
  return results.Request(
    prompts,
    _sampling(temperature, B),
    ((np.full(B, alpha),),),
    jax.random.key(0),
    parameter,
  )


def _sampling(temperature, B):
  return probabilities.Sampling(np.full(B, temperature), np.ones(B))


def _restart(first, state):
  """The state, with its first in the rows that are done."""

  def again(old, new):
    if new.shape[:1] != state.done_B.shape:  # Of no row: constant.
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
