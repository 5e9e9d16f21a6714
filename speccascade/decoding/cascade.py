"""The speculative cascade: draft, verify, defer, rewind, all on the device.

State: the tokens y of each row and both caches. Invariant: both caches hold
exactly the tokens before y[-1], the last one committed. One iteration:

  1. Draft. Feed y[-1], sample x_0 ~ q_0, feed x_0, ...: gamma + 1 steps, or
     as many as the schedule asks for, give x_0.. and q_0...
  2. Verify. One block [y[-1], x_0..] of as many tokens gives p_0...
  3. Defer. pi_i = rule(q_i, p_i, alpha). Accept x_i with probability
     min(1, pi_i(x_i) / q_i(x_i)); the first rejected position draws from
     norm(max(0, pi - q)) instead. 1 to gamma + 1 tokens are committed, each
     distributed exactly as pi.
  4. Rewind. Both caches' lengths fall to the new invariant.

For example with gamma = 2: y = [.. a], drafts b c d. If pi rejects d and
draws e, then b c e are committed, e is fed next, and both caches hold .. a b c.

Letters: B rows, G = gamma + 1 positions of a block, N generated tokens,
V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import distributions
from speccascade import rules as rules_lib
from speccascade.decoding import blocks, checks, deferral, drafting, results
from speccascade.decoding import schedules as schedules_lib
from speccascade.models import cache as cache_lib


@dataclasses.dataclass(frozen=True)
class Cascade:
  """The static half of a cascade: what a compiled program is made for.

  Attributes:
    drafter: model q.
    verifier: model p, of the same vocabulary.
    gamma: draft length; at most gamma + 1 tokens are drafted and verified at
      a time.
    max_new_tokens: N, most tokens generated.
    eos_id: token that ends a row.
    rules: deferral rules that the program can follow; which one it does is
      chosen at run time, so that a sweep over rules compiles once.
    schedule: one of schedules.SCHEDULES.
    defer: how a rule's target is followed, a function of `deferral`.
  """

  drafter: object
  verifier: object
  gamma: int
  max_new_tokens: int
  eos_id: int
  rules: tuple = tuple(rules_lib.RULES.values())
  schedule: schedules_lib.Schedule = schedules_lib.FIXED
  defer: Callable = deferral.speculative

  def __post_init__(self):
    checks.check_gamma(self.gamma)
    checks.check_pair(self.drafter, self.verifier)


@flax.struct.dataclass
class _State:
  token_BxM: jax.Array  # M = N + G: a block may overhang the last token.
  from_drafter_BxM: jax.Array
  length_B: jax.Array
  last_B: jax.Array
  done_B: jax.Array
  drafter_cache: object
  verifier_cache: object
  schedule: object
  tally: '_Tally'


@flax.struct.dataclass
class _Tally:
  """The counts that only the loop can keep; see results.Counts."""

  drafted_B: jax.Array
  deferred_B: jax.Array
  divergence_B: jax.Array
  accepted_lengths_BxG: jax.Array


def decode(
  cascade, params, prompts, sampling, rule, alpha_B, key, parameter=()
):
  """Generates with a drafter, a verifier and a deferral rule.

  Args:
    cascade: Cascade; another one compiles another program.
    params: (drafter parameters, verifier parameters).
    prompts: Prompts.
    sampling: distributions.Sampling, of both models.
    rule: one of `cascade.rules`.
    alpha_B: deferral threshold of each row.
    key: jax.random.key of the run's seed.
    parameter: of the draft schedule.

  Returns:
    Result.

  Raises:
    ValueError: an argument is out of range; nothing was compiled.
  """
  models = (cascade.drafter, cascade.verifier)
  checks.check_prompts(prompts, models, cascade.max_new_tokens)
  checks.check_sampling(sampling, prompts.rows)
  alpha_B = checks.check_alpha_shape(alpha_B, prompts.rows)
  index = checks.rule_index(rule, cascade.rules)
  rules_lib.check_alpha(rule, np.unique(alpha_B).tolist())
  checks.check_schedule(
    cascade.schedule, parameter, cascade.gamma, prompts.rows
  )
  return _decode(
    cascade, params, prompts, sampling, index, alpha_B, key, parameter
  )


@functools.partial(jax.jit, static_argnums=0)
def _decode(cascade, params, prompts, sampling, rule, alpha_B, key, parameter):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)
  state = init(cascade, params, prompts, parameter)
  alpha_B = jnp.asarray(alpha_B, _wide_dtype())
  u_BxMx3 = uniforms(cascade, prompts, key)
  step = functools.partial(
    iterate, cascade, params, sampling, rule, alpha_B, u_BxMx3, parameter
  )
  state = lax.while_loop(lambda s: ~jnp.all(s.done_B), step, state)
  kept_BxM = jnp.arange(state.token_BxM.shape[1]) < state.length_B[:, None]
  N = cascade.max_new_tokens
  state = state.replace(from_drafter_BxM=kept_BxM & state.from_drafter_BxM)
  return results.Result(
    token_BxN=jnp.where(kept_BxM, state.token_BxM, 0)[:, :N],
    length_B=state.length_B,
    from_drafter_BxN=state.from_drafter_BxM[:, :N],
    counts=counts(state),
  )


def uniforms(cascade, prompts, key):
  """BxMx3 uniforms of all positions; M = N + G as a block may overhang."""
  key_B = distributions.row_keys(key, prompts.repeat(prompts.example_P))
  M = cascade.max_new_tokens + cascade.gamma + 1
  position_BxM = jnp.tile(jnp.arange(M), (prompts.rows, 1))
  return distributions.uniforms(key_B, position_BxM)


def init(cascade, params, prompts, parameter=()):
  """The loop's state before its first iteration: both prompts read."""
  B, G, N = prompts.rows, cascade.gamma + 1, cascade.max_new_tokens
  caches = []
  for model, model_params in zip(
    (cascade.drafter, cascade.verifier), params, strict=True
  ):
    cache, last_P = model.prefill(
      model_params,
      prompts.token_PxS,
      prompts.length_P,
      new_tokens=N,
      block=G,
    )
    caches.append(cache_lib.repeat(cache, prompts.copies))
  zero_B = jnp.zeros(B, jnp.int32)
  return _State(
    token_BxM=jnp.zeros((B, N + G), jnp.int32),
    from_drafter_BxM=jnp.zeros((B, N + G), bool),
    length_B=zero_B,
    last_B=prompts.repeat(last_P),
    done_B=jnp.zeros(B, bool),
    drafter_cache=caches[0],
    verifier_cache=caches[1],
    schedule=cascade.schedule.init(parameter, B, G),
    tally=_Tally(
      drafted_B=zero_B,
      deferred_B=zero_B,
      divergence_B=jnp.zeros(B, _wide_dtype()),
      accepted_lengths_BxG=jnp.zeros((B, G + 1), jnp.int32),
    ),
  )


def iterate(
  cascade, params, sampling, rule, alpha_B, u_BxMx3, parameter, state
):
  """One iteration: draft, verify, defer, rewind.

  Args:
    cascade: Cascade.
    params: (drafter parameters, verifier parameters).
    sampling: distributions.Sampling.
    rule: index into `cascade.rules`.
    alpha_B: deferral thresholds.
    u_BxMx3: from `uniforms`.
    parameter: of the draft schedule.
    state: from `init` or the iteration before.

  Returns:
    The next state.
  """
  G = cascade.gamma + 1
  u_BxGx3 = distributions.upcoming(u_BxMx3, state.length_B, G)
  draft, drafter_cache = drafting.draft(
    cascade.drafter,
    params[0],
    state.drafter_cache,
    state.last_B,
    ~state.done_B,
    sampling,
    u_BxGx3[..., distributions.DRAFT],
    _more(cascade, parameter, state),
  )
  logits_BxGxV, verifier_cache = blocks.extend(
    cascade.verifier,
    params[1],
    state.verifier_cache,
    jnp.concatenate([state.last_B[:, None], draft.token_BxG[:, :-1]], 1),
    draft.length_B,
    blocks.widths(G, cascade.schedule.more is None),
  )
  target = _target(cascade, draft, logits_BxGxV, sampling, rule, alpha_B)
  token_BxG, kept_B = cascade.defer(draft, target, u_BxGx3)
  emitted_B, ended_B = _emit(cascade, token_BxG, kept_B, draft, state)
  accepted_B = jnp.minimum(kept_B, emitted_B)

  last_B = jnp.take_along_axis(
    token_BxG, jnp.maximum(emitted_B - 1, 0)[:, None], 1
  )[:, 0]
  write = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
  rewind = lambda new, old: cache_lib.rewind(new, old.length_B + emitted_B)  # noqa: E731
  return _State(
    token_BxM=write(state.token_BxM, token_BxG, state.length_B, 0),
    from_drafter_BxM=write(
      state.from_drafter_BxM,
      jnp.arange(G) < accepted_B[:, None],
      state.length_B,
      0,
    ),
    length_B=state.length_B + emitted_B,
    last_B=jnp.where(state.done_B, state.last_B, last_B),
    done_B=state.done_B | ended_B,
    drafter_cache=rewind(drafter_cache, state.drafter_cache),
    verifier_cache=rewind(verifier_cache, state.verifier_cache),
    schedule=cascade.schedule.update(
      parameter, state.schedule, draft.length_B, kept_B, draft.confidence_BxG
    ),
    tally=_add(state, draft, target.pi_BxGxV, emitted_B, accepted_B),
  )


def _more(cascade, parameter, state):
  """Whether a row drafts on: as its schedule says, and not past EOS."""
  more = cascade.schedule.more
  if more is None:
    return None

  def wants(drafted, token_B, confidence_B):
    wants_B = more(parameter, state.schedule, drafted, confidence_B)
    return wants_B & (token_B != cascade.eos_id)

  return wants


def _target(cascade, draft, logits_BxGxV, sampling, rule, alpha_B):
  p_raw_BxGxV = distributions.raw(logits_BxGxV)
  p_BxGxV = distributions.probabilities(logits_BxGxV, p_raw_BxGxV, sampling)
  alpha_B = alpha_B.astype(p_BxGxV.dtype)
  pi_BxGxV = lax.switch(
    rule,
    cascade.rules,
    draft.q_BxGxV,
    p_BxGxV,
    draft.q_raw_BxGxV,
    p_raw_BxGxV,
    alpha_B[:, None],
  )
  return deferral.Target(pi_BxGxV, p_BxGxV, p_raw_BxGxV, alpha_B)


def _emit(cascade, token_BxG, kept_B, draft, state):
  """Tokens each row commits, cut at EOS and at N, and whether it ended."""
  G, N = token_BxG.shape[1], cascade.max_new_tokens
  emitted_B = jnp.minimum(kept_B + 1, draft.length_B)
  emitted_B = jnp.minimum(emitted_B, _until_eos(token_BxG, cascade.eos_id))
  emitted_B = jnp.minimum(emitted_B, N - state.length_B)
  emitted_B = jnp.where(state.done_B, 0, emitted_B)
  emitted_BxG = jnp.arange(G) < emitted_B[:, None]
  eos_B = jnp.any(emitted_BxG & (token_BxG == cascade.eos_id), 1)
  return emitted_B, eos_B | (state.length_B + emitted_B >= N)


def _until_eos(token_BxG, eos_id):
  """Tokens up to and with the first EOS; G where there is none."""
  eos_BxG = token_BxG == eos_id
  first_B = eos_BxG.argmax(1).astype(jnp.int32) + 1
  return jnp.where(eos_BxG.any(1), first_B, eos_BxG.shape[1])


def _add(state, draft, pi_BxGxV, emitted_B, accepted_B):
  q_BxGxV, old = draft.q_BxGxV, state.tally
  G = q_BxGxV.shape[1]
  emitted_BxG = jnp.arange(G) < emitted_B[:, None]
  divergence_BxG = jnp.where(
    emitted_BxG, rules_lib.total_variation(pi_BxGxV, q_BxGxV), 0
  )
  hit_BxG = jnp.arange(G + 1) == accepted_B[:, None]
  return _Tally(
    drafted_B=old.drafted_B + draft.length_B,
    deferred_B=old.deferred_B
    + results.differs(divergence_BxG).sum(1, dtype=jnp.int32),
    divergence_B=old.divergence_B + divergence_BxG.sum(1),
    accepted_lengths_BxG=old.accepted_lengths_BxG
    + (hit_BxG & ~state.done_B[:, None]),
  )


def counts(state):
  """results.Counts of a state."""
  tally = state.tally
  accepted_B = state.from_drafter_BxM.sum(1, dtype=jnp.int32)
  return results.Counts(
    verifier_calls_B=tally.accepted_lengths_BxG.sum(1),
    drafter_steps_B=tally.drafted_B,
    drafted_B=tally.drafted_B,
    accepted_B=accepted_B,
    rejected_B=state.length_B - accepted_B,
    deferred_B=tally.deferred_B,
    divergence_B=tally.divergence_B,
    accepted_lengths_BxG=tally.accepted_lengths_BxG,
  )


def _wide_dtype():
  return jnp.result_type(float)
