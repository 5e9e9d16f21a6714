"""TokenCascade [Chow]: the verifier for each token the drafter is unsure of.

Sequential: the drafter's token is emitted where max q hat >= 1 - alpha. Else
the verifier, which first catches up on the tokens it has not seen, all in one
block, gives the token. By coupled draws it is the token that the speculative
cascade with the rule `chow` emits.

State: the tokens y of each row, with y[0] the prompt's last. The drafter's
cache holds all before y[-1]; the verifier's lags behind it.

Letters: B rows, N generated tokens, M = N + 1, V vocabulary.
"""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import blocks, checks, decoders, eos, results
from speccascade.decoding import stops as stops_lib
from speccascade.decoding.prefill import prefill
from speccascade.methods import base
from speccascade.models import cache as cache_lib
from speccascade.sampling import draws, keys, probabilities


@dataclasses.dataclass(frozen=True)
class Decoder(decoders.TwoCaches):
  """What a compiled program is made for, see `decoding.decoders.Decoder`.

  Attributes:
    drafter: model q.
    verifier: model p, of the same vocabulary.
    max_new_tokens: N.
    eos_ids: tokens that end a row.
  """

  drafter: Any
  verifier: Any
  max_new_tokens: int
  eos_ids: tuple[int, ...]

  groups = None

  def __post_init__(self):
    eos.check(self.eos_ids)
    checks.check_pair(*self.models)

  @property
  def models(self):
    """See `decoders.Decoder`."""
    return self.drafter, self.verifier

  @property
  def rooms(self):
    """See `decoders.Decoder`."""
    N = self.max_new_tokens
    return (N, 1), (N, N)

  @property
  def positions(self):
    """See `decoders.Decoder`."""
    return self.max_new_tokens

  def check(self, queue, rows):
    """See `decoders.Decoder`."""
    (own,) = queue.answers
    checks.check_values(TokenCascade(), own.values, len(own.id_J))

  def start(self, params, request, caches, last_B):
    """See `decoders.Decoder`."""
    B, N = len(last_B), self.max_new_tokens
    token_BxM = jnp.zeros((B, N + 1), jnp.int32)
    zero_B = jnp.zeros(B, jnp.int32)
    return _State(
      token_BxM=token_BxM.at[:, 0].set(last_B),
      from_drafter_BxN=jnp.zeros((B, N), bool),
      length_B=zero_B,
      seen_B=zero_B,
      calls_B=zero_B,
      deferred_B=zero_B,
      divergence_B=jnp.zeros(B, jnp.result_type(float)),
      done_B=jnp.zeros(B, bool),
      stop_B=stops_lib.init(request.stops, B),
      fault_B={
        role: jnp.full(B, results.NONE, jnp.int32)
        for role in ('drafter', 'verifier')
      },
      drafter_cache=caches[0],
      verifier_cache=caches[1],
    )

  def iterate(self, params, request, u_BxMxU, state):
    """See `decoders.Decoder`."""
    return _iterate(self, params, request, u_BxMxU, state)

  def result(self, state):
    """See `decoders.Decoder`."""
    accepted_B = state.from_drafter_BxN.sum(1, dtype=jnp.int32)
    return results.Result(
      token_BxN=state.token_BxM[:, 1:],
      length_B=state.length_B,
      from_drafter_BxN=state.from_drafter_BxN,
      counts=results.Counts(
        verifier_calls_B=state.calls_B,
        drafter_steps_B=state.length_B,
        drafted_B=state.length_B,
        accepted_B=accepted_B,
        rejected_B=state.length_B - accepted_B,
        deferred_B=state.deferred_B,
        divergence_B=state.divergence_B,
        accepted_lengths_BxA=jnp.zeros((len(state.length_B), 0), jnp.int32),
      ),
      fault_B=state.fault_B,
    )


@flax.struct.dataclass
class _State:
  token_BxM: jax.Array  # y, padded
  from_drafter_BxN: jax.Array
  length_B: jax.Array  # generated
  seen_B: jax.Array  # tokens of y that the verifier's cache holds
  calls_B: jax.Array
  deferred_B: jax.Array
  divergence_B: jax.Array
  done_B: jax.Array
  stop_B: Any  # of stops_lib
  fault_B: dict[str, jax.Array]  # as in results.Result
  drafter_cache: object
  verifier_cache: object


@dataclasses.dataclass(frozen=True)
class TokenCascade:
  """A token at a time with whichever model chow's rule prefers."""

  name = 'token_cascade'
  parameters = (base.LACK,)
  drafts = False
  plan_changes_text = False
  divergence_rejects = True
  lossless = False
  role = None
  family = 'cascades'

  def decode(self, models, params, request, max_new_tokens, eos_ids):
    """See `base.Standalone`.

    Every token counts as a draft, rejected if the verifier changed it.
    """
    decoder, params = self.slots(models, params, max_new_tokens, eos_ids)
    checks.check_prompts(request.prompts, models, max_new_tokens)
    checks.check_sampling(request.sampling, request.prompts.rows)
    checks.check_values(self, request.values[0], request.prompts.rows)
    keys.check(request.key)
    result = sharding.on_mesh(_decode, decoder, params, request)
    return checks.finite(result, request.prompts)

  def slots(self, models, params, max_new_tokens, eos_ids):
    """See `base.Standalone`."""
    return Decoder(*models, max_new_tokens, eos_ids), params


@functools.partial(jax.jit, static_argnums=0)
def _decode(decoder, params, request):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), request.prompts)
  key_B = keys.row_keys(request.key, prompts.tile(prompts.example_P))
  N = decoder.max_new_tokens
  u_BxNxU = keys.uniforms(key_B, N)
  read = functools.partial(prefill, prompts=prompts, new_tokens=N)
  caches = []
  for model, own, (_, block) in zip(
    decoder.models, params, decoder.rooms, strict=True
  ):
    cache, last_B = read(model, own, block=block)
    caches.append(cache)
  state = lax.while_loop(
    lambda s: ~jnp.all(s.done_B),
    functools.partial(decoder.iterate, params, request, u_BxNxU),
    decoder.start(params, request, caches, last_B),
  )
  return decoder.result(state)


def _widths(N):
  """Blocks that the verifier may catch up in: powers of 4, and N."""
  widths = [1]
  while widths[-1] * 4 < N:
    widths.append(widths[-1] * 4)
  return (*widths, N) if N > 1 else (1,)


def _iterate(cascade, params, request, u_BxNxU, state):
  N, sampling = cascade.max_new_tokens, request.sampling
  (alpha_B,) = map(jnp.asarray, request.values[0])
  u_Bx1xU = keys.upcoming(u_BxNxU, state.length_B, 1)
  u_BxU = u_Bx1xU[:, 0]
  last_Bx1 = jnp.take_along_axis(state.token_BxM, state.length_B[:, None], 1)
  logits_Bx1xV, drafter_cache = cascade.drafter.extend(
    params[0], state.drafter_cache, last_Bx1
  )
  raw_Bx1xV = probabilities.raw(logits_Bx1xV)
  q_BxV = probabilities.sampled(logits_Bx1xV, raw_Bx1xV, sampling)[:, 0]
  drafted_B = draws.draw(q_BxV, u_BxU[:, keys.DRAFT])
  active_B = ~state.done_B
  unsure_B = 1 - raw_Bx1xV[:, 0].max(-1) > alpha_B  # As the rule compares.
  unsure_B &= active_B
  p_logits_Bx1xV, verifier_cache, read_B = _catch_up(
    cascade, params[1], state, unsure_B, logits_Bx1xV
  )
  token_B, kept_B, divergence_B, finite_Bx1 = blocks.when(
    jnp.any(unsure_B),
    functools.partial(_judge, sampling),
    _unjudged(drafted_B, q_BxV),
    p_logits_Bx1xV,
    q_BxV,
    u_BxU,
    unsure_B,
  )
  token_B = jnp.where(active_B, token_B, 0)
  length_B = state.length_B + active_B
  stop_Bx1, stopped_Bx1 = stops_lib.read(
    request.stops, state.stop_B, token_B[:, None]
  )
  ended_B = eos.ends(token_B, cascade.eos_ids) | stopped_Bx1[:, 0]
  fault_B = {
    role: results.faults(
      state.fault_B[role], finite, state.length_B, asked_B.astype(jnp.int32)
    )
    for role, finite, asked_B in (
      ('drafter', probabilities.finite(logits_Bx1xV), active_B),
      ('verifier', finite_Bx1, unsure_B),
    )
  }
  write = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))

  def put(row, new_B, at_B):  # A finished row stays as it is.
    changed = write(row, new_B[:, None], at_B, 0)
    return jnp.where(active_B[:, None], changed, row)

  return _State(
    token_BxM=put(state.token_BxM, token_B, state.length_B + 1),
    from_drafter_BxN=put(state.from_drafter_BxN, kept_B, state.length_B),
    length_B=length_B,
    seen_B=state.seen_B + read_B,
    calls_B=state.calls_B + unsure_B,
    deferred_B=state.deferred_B + results.differs(divergence_B),
    divergence_B=state.divergence_B + divergence_B,
    fault_B=fault_B,
    done_B=state.done_B | ended_B | (length_B >= N),
    stop_B=stops_lib.after(state.stop_B, stop_Bx1, active_B),
    drafter_cache=cache_lib.rewind(
      drafter_cache, state.drafter_cache.length_B + active_B
    ),
    verifier_cache=cache_lib.rewind(
      verifier_cache, state.verifier_cache.length_B + read_B
    ),
  )


def _unjudged(drafted_B, q_BxV):
  """What `_judge` gives where the verifier says nothing: the drafts."""
  B = len(drafted_B)
  nowhere_B = jnp.zeros(B, q_BxV.dtype)
  return drafted_B, jnp.ones(B, bool), nowhere_B, jnp.ones((B, 1), bool)


def _judge(sampling, carry, logits_Bx1xV, q_BxV, u_BxU, unsure_B):
  """(token_B, whether it is the draft, D_TV(p, q), whether p is finite Bx1).

  Args:
    sampling: Sampling.
    carry: of `_unjudged`.
    logits_Bx1xV: of the verifier, where a row is unsure.
    q_BxV: what was drafted from.
    u_BxU: uniforms by role.
    unsure_B: rows whose draft the verifier tests; others keep theirs.
  """
  drafted_B, *_ = carry
  raw_Bx1xV = probabilities.raw(logits_Bx1xV)
  p_BxV = probabilities.sampled(logits_Bx1xV, raw_Bx1xV, sampling)[:, 0]
  p_BxV = jnp.where(unsure_B[:, None], p_BxV, q_BxV)
  kept_B = ~unsure_B | draws.accepts(
    drafted_B, u_BxU[:, keys.ACCEPT], p_BxV, q_BxV
  )
  residual_BxV = draws.residual(p_BxV, q_BxV)
  redrawn_B = draws.draw(residual_BxV, u_BxU[:, keys.RESIDUAL])
  divergence_B = probabilities.total_variation(p_BxV, q_BxV)
  return (
    jnp.where(kept_B, drafted_B, redrawn_B),
    kept_B,
    jnp.where(unsure_B, divergence_B, 0),
    probabilities.finite(logits_Bx1xV),
  )


def _catch_up(cascade, params, state, unsure_B, logits_Bx1xV):
  """(logits of the next token where unsure, the verifier's cache, read_B).

  The cache is to be rewound to what each row read. Nothing runs where no row
  is unsure. Where one is, the block has a row for each, and so the others read
  what of theirs it holds: their next call is the shorter. `logits_Bx1xV` gives
  the shape alone.
  """
  N = cascade.max_new_tokens
  behind_B = state.length_B + 1 - state.seen_B  # y[-1] is not seen either.
  behind_B = jnp.where(state.done_B, 0, behind_B)
  wanted = jnp.where(unsure_B, behind_B, 0).max()

  def run(width, carry, token_BxM, seen_B):
    _, cache = carry
    at_BxT = seen_B[:, None] + jnp.arange(width)
    block_BxT = jnp.take_along_axis(token_BxM, jnp.minimum(at_BxT, N), 1)
    last_B = jnp.clip(behind_B - 1, 0, width - 1)
    return cascade.verifier.extend(params, cache, block_BxT, last_B)

  carry, narrower, read = (logits_Bx1xV, state.verifier_cache), 0, 0
  for width in _widths(N):
    chosen = (narrower < wanted) & (wanted <= width)
    carry = blocks.when(
      chosen,
      functools.partial(run, width),
      carry,
      state.token_BxM,
      state.seen_B,
    )
    narrower, read = width, jnp.where(chosen, width, read)
  return *carry, jnp.minimum(behind_B, read)
