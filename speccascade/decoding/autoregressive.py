"""Plain autoregressive decoding of one model, a token an iteration.

The drafter's tokens here are those of the rule `drafter` with the same seed,
and the verifier's are those of `drafter_invariant`, at temperature 0 of the
rule `strict`, too.

Letters: B rows, N generated tokens, V vocabulary.
"""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.decoding import checks, eos, results
from speccascade.decoding import stops as stops_lib
from speccascade.decoding.prefill import prefill
from speccascade.sampling import draws, keys, probabilities


@dataclasses.dataclass(frozen=True)
class Autoregressive:
  """The static half.

  Attributes:
    model: decodes.
    max_new_tokens: N, most tokens generated.
    eos_ids: tokens that end a row.
    role: what `Result.fault_B` calls the model.
  """

  model: object
  max_new_tokens: int
  eos_ids: tuple[int, ...]
  role: str = 'model'

  def __post_init__(self):
    eos.check(self.eos_ids)


@flax.struct.dataclass
class _State:
  token_BxN: jax.Array
  log_prob_BxN: jax.Array
  length_B: jax.Array
  last_B: jax.Array
  done_B: jax.Array
  stop_B: Any
  fault_B: jax.Array
  cache: object


def decode(decoder, params, prompts, sampling, key, stops=()):
  """Generates with one model.

  Args:
    decoder: Autoregressive; another one compiles another program.
    params: the model's parameters.
    prompts: Prompts.
    sampling: probabilities.Sampling.
    key: jax.random.key of the run's seed.
    stops: Stops of the strings that end a row; () without any.

  Returns:
    Result without counts: one model call a token.

  Raises:
    ValueError: an argument is out of range, nothing was compiled; or the model
      gave a logit that is not finite.
  """
  checks.check_prompts(prompts, (decoder.model,), decoder.max_new_tokens)
  checks.check_sampling(sampling, prompts.rows)
  keys.check(key)
  result = sharding.on_mesh(
    _decode, decoder, params, prompts, sampling, key, stops
  )
  return checks.finite(result, prompts)


@functools.partial(jax.jit, static_argnums=0)
def _decode(decoder, params, prompts, sampling, key, stops):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)
  nobody_B = jnp.zeros(prompts.rows, bool)
  return run(decoder, params, prompts, sampling, key, stops, nobody_B)


def run(decoder, params, prompts, sampling, key, stops, skip_B):
  """`decode` inside a program; rows of `skip_B` generate nothing."""
  N = decoder.max_new_tokens
  cache, last_B = prefill(decoder.model, params, prompts, new_tokens=N, block=1)
  key_B = keys.row_keys(key, prompts.tile(prompts.example_P))
  u_BxNxU = keys.uniforms(key_B, N)
  state = start(decoder, params, stops, cache, last_B).replace(done_B=skip_B)
  step = functools.partial(iterate, decoder, params, sampling, stops, u_BxNxU)
  return result(
    decoder, lax.while_loop(lambda s: ~jnp.all(s.done_B), step, state)
  )


def start(decoder, params, stops, cache, last_B):
  """The state of rows that have read their prompts.

  Args:
    decoder: Autoregressive.
    params: the model's parameters.
    stops: Stops, or () without any.
    cache: of the model.
    last_B: token that follows what it holds.
  """
  B, N = len(last_B), decoder.max_new_tokens
  logits = jax.eval_shape(decoder.model.extend, params, cache, last_B[:, None])
  return _State(
    token_BxN=jnp.zeros((B, N), jnp.int32),
    log_prob_BxN=jnp.zeros((B, N), logits[0].dtype),
    length_B=jnp.zeros(B, jnp.int32),
    last_B=last_B,
    done_B=jnp.zeros(B, bool),
    stop_B=stops_lib.init(stops, B),
    fault_B=jnp.full(B, results.NONE, jnp.int32),
    cache=cache,
  )


def iterate(decoder, params, sampling, stops, u_BxNxU, state):
  """One token of each row that has not ended."""
  u_Bx1xU = keys.upcoming(u_BxNxU, state.length_B, 1)
  logits_Bx1xV, cache = decoder.model.extend(
    params, state.cache, state.last_B[:, None]
  )
  raw_Bx1xV = probabilities.raw(logits_Bx1xV)
  probs_Bx1xV = probabilities.sampled(logits_Bx1xV, raw_Bx1xV, sampling)
  drawn_B = draws.draw(probs_Bx1xV[:, 0], u_Bx1xU[:, 0, keys.DRAFT])
  # Not the log of the raw probability, which may be 0 in float32.
  log_BxV = jax.nn.log_softmax(logits_Bx1xV[:, 0])
  drawn_log_B = jnp.take_along_axis(log_BxV, drawn_B[:, None], 1)[:, 0]
  active_B = ~state.done_B
  token_B = jnp.where(active_B, drawn_B, 0)
  log_prob_B = jnp.where(active_B, drawn_log_B, 0)
  length_B = state.length_B + active_B
  stop_Bx1, stopped_Bx1 = stops_lib.read(stops, state.stop_B, token_B[:, None])
  # Rows that end at N keep their last token, which an update would clamp to.
  write = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
  put = lambda x_BxN, x_B: jnp.where(  # noqa: E731
    active_B[:, None], write(x_BxN, x_B[:, None], state.length_B, 0), x_BxN
  )
  return _State(
    token_BxN=put(state.token_BxN, token_B),
    log_prob_BxN=put(state.log_prob_BxN, log_prob_B),
    length_B=length_B,
    last_B=jnp.where(active_B, token_B, state.last_B),
    done_B=state.done_B
    | eos.ends(token_B, decoder.eos_ids)
    | stopped_Bx1[:, 0]
    | (length_B >= decoder.max_new_tokens),
    stop_B=stops_lib.after(state.stop_B, stop_Bx1, active_B),
    fault_B=results.faults(
      state.fault_B,
      probabilities.finite(logits_Bx1xV),
      state.length_B,
      active_B.astype(jnp.int32),
    ),
    cache=cache.replace(length_B=state.cache.length_B + active_B),
  )


def result(decoder, state):
  """results.Result of a state; of rows that are not done, what there is."""
  kept_BxN = jnp.arange(decoder.max_new_tokens) < state.length_B[:, None]
  return results.Result(
    token_BxN=jnp.where(kept_BxN, state.token_BxN, 0),
    length_B=state.length_B,
    log_prob_BxN=jnp.where(kept_BxN, state.log_prob_BxN, 0),
    fault_B={decoder.role: state.fault_B},
  )
