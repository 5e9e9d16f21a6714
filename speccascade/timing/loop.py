"""What an iteration of the decoding loop costs beside its parts.

The parts are the drafter steps and the verifier block of the iteration. Each is
timed alone in a loop of its own, in turn with the decoding loop.

Letters: B rows, T tokens of a block, K turns of a loop.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import hosts, methods, sharding
from speccascade.decoding import blocks, checks, prefill, results, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.models import cache as cache_lib
from speccascade.runs import profiling
from speccascade.sampling import keys, probabilities
from speccascade.timing import clock, costs, parts, turns

METHOD = 'token_v3'  # Whose iterations are timed.
_LEAST = 16  # Turns of a run: about an answer, so that schedules adapt.


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
    spread: the slowest over the fastest run of a loop, the worst of the
      iterations and all parts.
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
  spread: float

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
  profile: profiling.Profile | None = None,
  read: Callable = prefill.prefill,
) -> list[Row]:
  """Times iterations under token_v3, and their parts.

  The loops decode answers as a sweep does; a row that has ended begins its
  answer again.

  Args:
    pair: pairs.Pair.
    prompts: of one shape; each has loops of its own.
    plans: of different schedules; the costs of a measured one are measured.
    new_tokens: most tokens of an answer.
    rounds: number of timings of each loop.
    temperature: of both models.
    alpha: parameter of the method.
    profile: of the first loop of each plan.
    read: reads the prompts before each timing, as `prefill.prefill`.

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
    ends = plan.gamma, new_tokens, pair.eos_ids
    schedule = schedules.get(plan.schedule)
    made[plan] = loop_lib.Loop(
      *models, *ends, groups, schedule, divergences=False
    )
  loops, compile_seconds = {}, {}
  for plan in plans:
    parameter = _parameter(pair, prompts, plan, new_tokens)
    requests = [_request(p, temperature, alpha, parameter) for p in prompts]
    loops[plan] = _timed_loops(made[plan], pair.params, requests, read)
    _, compile_seconds[plan] = clock.seconds(_run, loops[plan][0], _LEAST)
    if profile is not None:
      first = functools.partial(_run, loops[plan][0])
      profile(f'batch{B}-{plan.id()}', first)
  widths = {1}.union(*(_widths(plan, B) for plan in plans))
  alone = parts.blocks(pair, prompts[0], widths, new_tokens, read)
  timed = turns.measure(
    alone | {(plan, r): x for plan in plans for r, x in enumerate(loops[plan])},
    rounds,
    _LEAST,
  )
  part_turns = {part: timed[part] for part in alone}
  rows = []
  for plan in plans:
    own_turns = [timed[plan, r] for r in range(len(prompts))]
    ran = [
      _ran(loop, turn.turns, _widths(plan, B))
      for loop, turn in zip(loops[plan], own_turns, strict=True)
    ]
    rows.append(
      Row(
        schedule=plan.schedule,
        batch=B,
        gamma=plan.gamma,
        compile_seconds=compile_seconds[plan],
        **_summary(ran, own_turns, part_turns),
      )
    )
  return rows


def _widths(plan, B=None):
  return blocks.widths(plan.gamma + 1, schedules.get(plan.schedule), B)


def _parameter(pair, prompts, plan, new_tokens):
  """What the plan's schedule is given."""
  if not schedules.get(plan.schedule).measured:
    return () if plan.parameter is None else plan.parameter
  found = costs.costs(pair, prompts[:1], _widths(plan), new_tokens)
  return np.array(found.weighed(plan))


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


def _ran(loop, number, widths):
  """_Ran of so many turns."""
  told = jax.device_get(hosts.replicated(_run(loop, number)))
  drafted_KxB, committed_KxB = (x[:number] for x in told)
  steps_K = drafted_KxB.max(1)
  width_K = np.array(widths)[np.searchsorted(widths, steps_K)]
  return _Ran(
    steps=float(steps_K.mean()),
    blocks={T: float(np.mean(width_K == T)) for T in widths},
    tokens=float(committed_KxB.mean()),
  )


def _summary(ran, loop_turns, part_turns):
  """The fields of a Row of what ran, and a turns.Turn of each loop and part."""
  ms = {part: turn.ms for part, turn in part_turns.items()}
  mean = lambda of: float(np.mean([of(x) for x in ran]))  # noqa: E731
  iteration = float(np.mean([turn.ms for turn in loop_turns]))
  return dict(
    drafter_step=ms['drafter', 1],
    verifier_step=ms['verifier', 1],
    steps=mean(lambda x: x.steps),
    width=mean(lambda x: sum(T * share for T, share in x.blocks.items())),
    block=mean(lambda x: x.block(ms)),
    overhead=iteration / mean(lambda x: x.parts(ms)),
    tokens=mean(lambda x: x.tokens),
    spread=max(x.spread for x in [*loop_turns, *part_turns.values()]),
  )


def _timed_loops(loop, params, requests, read):
  """A Loop of iterations for each request; ends with what they did.

  That is (drafted_KxB, committed_KxB) of each turn, zeros after the last one.
  """
  start = jax.jit(functools.partial(loop_lib.init, loop, read=read))

  @jax.jit
  def run(params, request, first, number):
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
    none_KxB = jnp.zeros((turns.MOST, B), jnp.int32)
    carry = first, (none_KxB, none_KxB)
    return lax.fori_loop(0, number, turn, carry)[1]

  return [
    turns.Loop(
      functools.partial(sharding.on_mesh, start, params, request),
      functools.partial(sharding.on_mesh, run, params, request),
    )
    for request in jax.tree.map(jnp.asarray, requests)
  ]


def _run(loop, number):
  return loop.run(loop.start(), number)


def _request(prompts, temperature, alpha, parameter):
  B = prompts.rows
  return results.Request(
    prompts,
    _sampling(temperature, B),
    ((np.full(B, alpha),),),
    keys.make(0),
    parameter,
  )


def _sampling(temperature, B):
  return probabilities.of_rows(np.full(B, temperature), np.ones(B))


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
