"""The speculative cascade: draft, verify, defer, rewind, all on the device.

State: the tokens y of each row and both caches. Invariant: both caches hold
exactly the tokens before y[-1], the last one committed. One iteration:

  1. Draft. Feed y[-1], sample x_0 ~ q_0, feed x_0, ...: gamma + 1 steps, or
     as many as the schedule asks for, give x_0.. and q_0...
  2. Verify. One block [y[-1], x_0..] of as many tokens gives p_0...
  3. Defer. Each group of rows follows a method of its own. By the ratio test,
     pi_i = rule(q_i, p_i), x_i is accepted with probability
     min(1, pi_i(x_i) / q_i(x_i)), and the first rejected position draws from
     norm(max(0, pi - q)) instead. 1 to gamma + 1 tokens are committed.
  4. Rewind. Both caches' lengths fall to the new invariant.

For example with gamma = 2: y = [.. a], drafts b c d. If pi rejects d and
draws e, then b c e are committed, e is fed next, and both caches hold .. a b c.

Where a schedule has a block without a draft, the verifier writes its one token
and the drafter's cache lags: it holds what it did, and is caught up before the
next draft. One that has not read a row's prompt never drafts for it.

Letters: B rows, R rows of a group, G = gamma + 1 positions of a block,
N generated tokens, M = N + G as a block may overhang the last token,
V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import blocks, checks, defer, eos, lag, results
from speccascade.decoding import schedules as schedules_lib
from speccascade.decoding import stops as stops_lib
from speccascade.decoding import tally as tally_lib
from speccascade.decoding.prefill import prefill
from speccascade.models import base as models_base
from speccascade.models import cache as cache_lib
from speccascade.sampling import keys


@dataclasses.dataclass(frozen=True)
class Group:
  """Contiguous rows of a batch that follow one method.

  Attributes:
    method: how they defer.
    rows: R.
  """

  method: defer.Defers
  rows: int


@dataclasses.dataclass(frozen=True)
class Loop:
  """The static half of a cascade: what a compiled program is made for.

  Attributes:
    drafter: model q.
    verifier: model p, of the same vocabulary.
    gamma: draft length; at most gamma + 1 tokens are drafted and verified at
      a time.
    max_new_tokens: N, most tokens generated.
    eos_ids: tokens that end a row.
    groups: of all rows, in their order.
    schedule: one of schedules.SCHEDULES.
    observe: (draft, verified, divergence_BxG) -> {name: BxG}, what
      `Result.observed` is to tell of each emitted position; None for nothing.
    divergences: whether D_TV(pi, q) is summed. Else `Counts.deferred_B` and
      `Counts.divergence_B` are None, and `observe` must be.
  """

  drafter: models_base.Model
  verifier: models_base.Model
  gamma: int
  max_new_tokens: int
  eos_ids: tuple[int, ...]
  groups: tuple[Group, ...]
  schedule: schedules_lib.Schedule = schedules_lib.FIXED
  observe: Callable | None = None
  divergences: bool = True

  def __post_init__(self):
    checks.check_gamma(self.gamma)
    eos.check(self.eos_ids)
    checks.check_pair(self.drafter, self.verifier)


@flax.struct.dataclass
class _State:
  token_BxM: jax.Array  # committed tokens, what follows them is overwritten
  from_drafter_BxM: jax.Array  # whether each is an accepted draft
  length_B: jax.Array  # committed tokens
  first_B: Any  # last token of the prompt; None where no cache lags
  able_B: Any  # whether the drafter has read the prompt; likewise
  last_B: jax.Array  # y[-1]
  done_B: jax.Array  # whether a row has ended
  stop_B: Any  # of stops_lib
  drafter_cache: cache_lib.Cache  # of the tokens before y[-1]
  verifier_cache: cache_lib.Cache  # likewise
  schedule: Any  # the schedule's own
  tally: tally_lib.Tally
  fault_B: dict[str, jax.Array]  # as in results.Result
  observed: dict[str, jax.Array]  # {name: BxM}


def decode(
  loop: Loop, params: tuple[Any, Any], request: results.Request
) -> results.Result:
  """Generates with a drafter, a verifier and a method for each group of rows.

  Args:
    loop: Loop; another one compiles another program.
    params: (drafter parameters, verifier parameters).
    request: Request.

  Returns:
    Result.

  Raises:
    ValueError: an argument is out of range, nothing was compiled; or a model
      gave a logit that is not finite.
  """
  check(loop, request)
  result = sharding.on_mesh(_decode, loop, params, request)
  return checks.finite(result, request.prompts)


def lower(
  loop: Loop, params: tuple[Any, Any], request: results.Request
) -> jax.stages.Lowered:
  """Lowers the program of `decode`, for which shapes do."""
  return _decode.lower(loop, params, request)


def check(loop: Loop, request: results.Request) -> None:
  """Raises ValueError if an argument of `decode` is out of range."""
  rows = request.prompts.rows
  checks.check_prompts(
    request.prompts, (loop.drafter, loop.verifier), loop.max_new_tokens
  )
  checks.check_sampling(request.sampling, rows)
  checks.check_groups(loop.groups, request.values, rows)
  loop.schedule.check(request.schedule_parameter, loop.gamma, rows)
  keys.check(request.key)


@functools.partial(jax.jit, static_argnums=0)
def _decode(loop, params, request):
  state = init(loop, params, request)
  step = functools.partial(
    iterate, loop, params, request, uniforms(loop, request)
  )
  return result(loop, lax.while_loop(lambda s: ~jnp.all(s.done_B), step, state))


def result(loop, state):
  """results.Result of a state; of rows that are not done, what there is."""
  N, width = loop.max_new_tokens, state.token_BxM.shape[1]
  kept_BxM = jnp.arange(width) < state.length_B[:, None]
  state = state.replace(from_drafter_BxM=kept_BxM & state.from_drafter_BxM)
  return results.Result(
    token_BxN=jnp.where(kept_BxM, state.token_BxM, 0)[:, :N],
    length_B=state.length_B,
    from_drafter_BxN=state.from_drafter_BxM[:, :N],
    counts=tally_lib.counts(
      state.tally,
      state.length_B,
      state.from_drafter_BxM.sum(1, dtype=jnp.int32),
    ),
    observed={
      name: jnp.where(kept_BxM, x_BxM, 0)[:, :N]
      for name, x_BxM in state.observed.items()
    },
    fault_B=state.fault_B,
  )


def uniforms(loop, request):
  """BxMxU uniforms of all positions."""
  prompts = request.prompts
  key_B = keys.row_keys(
    request.key, prompts.tile(jnp.asarray(prompts.example_P, jnp.int32))
  )
  return keys.uniforms(key_B, loop.max_new_tokens + loop.gamma + 1)


def init(loop, params, request, read=prefill):
  """The loop's state before its first iteration: both prompts read."""
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), request.prompts)
  read = functools.partial(
    read,
    prompts=prompts,
    new_tokens=loop.max_new_tokens,
    block=loop.gamma + 1,
  )
  drafter_cache, _ = read(loop.drafter, params[0])
  verifier_cache, last_B = read(loop.verifier, params[1])
  return start(loop, params, request, (drafter_cache, verifier_cache), last_B)


def start(loop, params, request, caches, last_B):
  """The state of rows that have read their prompts.

  Args:
    loop: Loop.
    params: (drafter parameters, verifier parameters).
    request: Request; its prompts do not matter.
    caches: of the drafter and the verifier.
    last_B: token that follows what they hold.
  """
  B, G, N = len(last_B), loop.gamma + 1, loop.max_new_tokens
  zero_B = jnp.zeros(B, jnp.int32)
  state = _State(
    token_BxM=jnp.zeros((B, N + G), jnp.int32),
    from_drafter_BxM=jnp.zeros((B, N + G), bool),
    length_B=zero_B,
    first_B=None if loop.schedule.begin is None else last_B,
    able_B=None if loop.schedule.begin is None else jnp.ones(B, bool),
    last_B=last_B,
    done_B=jnp.zeros(B, bool),
    stop_B=stops_lib.init(request.stops, B),
    drafter_cache=caches[0],
    verifier_cache=caches[1],
    schedule=loop.schedule.init(request.schedule_parameter, B, G),
    tally=tally_lib.init(B, G, loop.divergences),
    fault_B={
      role: jnp.full(B, results.NONE, jnp.int32)
      for role in ('drafter', 'verifier')
    },
    observed={},
  )
  if loop.observe is None:
    return state
  u_BxMxU = jnp.zeros((B, N + G, keys.U))
  observed = jax.eval_shape(
    lambda: blocks.decide(loop, params, request, u_BxMxU, state)[-1]
  )
  return state.replace(
    observed={
      name: jnp.zeros((B, N + G), x.dtype) for name, x in observed.items()
    }
  )


def iterate(loop, params, request, u_BxMxU, state):
  """One iteration: draft, verify, defer, rewind.

  Args:
    loop: Loop.
    params: (drafter parameters, verifier parameters).
    request: Request.
    u_BxMxU: from `uniforms`.
    state: from `init` or the iteration before.

  Returns:
    The next state.
  """
  drafting_B = None
  if loop.schedule.begin is not None:
    drafting_B, state = lag.begin(loop, request, state)
  following = commit(
    loop,
    request,
    state,
    *blocks.decide(loop, params, request, u_BxMxU, state, drafting_B),
  )
  if loop.schedule.begin is not None:
    following = lag.keep(drafting_B, state, following)
  return following


def commit(loop, request, state, draft, outcome, caches, finite, observed):
  """The state after a block that was decided on.

  Args:
    loop: Loop.
    request: Request.
    state: before the block.
    draft: Draft; what was drafted and from what does not matter.
    outcome: as `blocks.decide` returns it, like all that follows.
    caches: both, to be rewound.
    finite: of both models.
    observed: what `loop.observe` gave.
  """
  token_BxG, kept_B, divergence_BxG = outcome
  G = token_BxG.shape[1]
  stop_BxG, stopped_BxG = stops_lib.read(request.stops, state.stop_B, token_BxG)
  ends_BxG = eos.ends(token_BxG, loop.eos_ids) | stopped_BxG
  emitted_B, ended_B = _emit(loop, ends_BxG, kept_B, draft, state)
  accepted_B = jnp.minimum(kept_B, emitted_B)

  last_B = jnp.take_along_axis(
    token_BxG, jnp.maximum(emitted_B - 1, 0)[:, None], 1
  )[:, 0]
  write = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
  put = lambda x_BxM, x_BxG: write(x_BxM, x_BxG, state.length_B, 0)  # noqa: E731
  rewind = lambda new, old: cache_lib.rewind(new, old.length_B + emitted_B)  # noqa: E731
  return _State(
    token_BxM=put(state.token_BxM, token_BxG),
    from_drafter_BxM=put(
      state.from_drafter_BxM, jnp.arange(G) < accepted_B[:, None]
    ),
    length_B=state.length_B + emitted_B,
    first_B=state.first_B,
    able_B=state.able_B,
    last_B=jnp.where(state.done_B, state.last_B, last_B),
    done_B=state.done_B | ended_B,
    stop_B=stops_lib.after(state.stop_B, stop_BxG, emitted_B),
    drafter_cache=rewind(caches[0], state.drafter_cache),
    verifier_cache=rewind(caches[1], state.verifier_cache),
    schedule=loop.schedule.update(
      request.schedule_parameter,
      state.schedule,
      draft.length_B,
      kept_B,
      draft.confidence_BxG,
    ),
    tally=tally_lib.add(
      state.tally,
      draft.length_B,
      divergence_BxG,
      emitted_B,
      accepted_B,
      ~state.done_B,
    ),
    fault_B={
      role: results.faults(known_B, finite[role], state.length_B, emitted_B)
      for role, known_B in state.fault_B.items()
    },
    observed={
      name: put(x_BxM, observed[name]) for name, x_BxM in state.observed.items()
    },
  )


def _emit(loop, ends_BxG, kept_B, draft, state):
  """Tokens each row commits, cut at an end and at N, and whether it ended."""
  G, N = ends_BxG.shape[1], loop.max_new_tokens
  verified_B = draft.length_B
  if loop.schedule.begin is not None:
    verified_B = jnp.maximum(verified_B, 1)
  emitted_B = jnp.minimum(kept_B + 1, verified_B)
  emitted_B = jnp.minimum(emitted_B, eos.until_end(ends_BxG))
  emitted_B = jnp.minimum(emitted_B, N - state.length_B)
  emitted_B = jnp.where(state.done_B, 0, emitted_B)
  emitted_BxG = jnp.arange(G) < emitted_B[:, None]
  ended_B = jnp.any(emitted_BxG & ends_BxG, 1)
  return emitted_B, ended_B | (state.length_B + emitted_B >= N)
