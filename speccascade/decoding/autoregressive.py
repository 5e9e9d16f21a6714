"""Plain autoregressive decoding of one model, a token an iteration.

The drafter's tokens here are those of the rule `drafter` with the same seed,
and at temperature 0 the verifier's are those of the rule `strict`.

Letters: B rows, N generated tokens, V vocabulary.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import distributions
from speccascade.decoding import checks, results
from speccascade.models import cache as cache_lib


@dataclasses.dataclass(frozen=True)
class Autoregressive:
  """The static half: the model, most tokens generated, and the last token."""

  model: object
  max_new_tokens: int
  eos_id: int


@flax.struct.dataclass
class _State:
  token_BxN: jax.Array
  length_B: jax.Array
  last_B: jax.Array
  done_B: jax.Array
  cache: object


def decode(decoder, params, prompts, sampling, key):
  """Generates with one model.

  Args:
    decoder: Autoregressive; another one compiles another program.
    params: the model's parameters.
    prompts: Prompts.
    sampling: distributions.Sampling.
    key: jax.random.key of the run's seed.

  Returns:
    Result without counts: one model call a token.

  Raises:
    ValueError: an argument is out of range; nothing was compiled.
  """
  checks.check_prompts(prompts, (decoder.model,), decoder.max_new_tokens)
  checks.check_sampling(sampling, prompts.rows)
  return _decode(decoder, params, prompts, sampling, key)


@functools.partial(jax.jit, static_argnums=0)
def _decode(decoder, params, prompts, sampling, key):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)
  B, S = prompts.rows, prompts.token_PxS.shape[1]
  N = decoder.max_new_tokens
  cache, last_P = decoder.model.prefill(
    params, prompts.token_PxS, prompts.length_P, capacity=S + N, block=1
  )
  key_B = distributions.row_keys(key, prompts.repeat(prompts.example_P))

  def iterate(state):
    u_Bx1x3 = distributions.uniforms(key_B, state.length_B[:, None])
    logits_Bx1xV, cache = decoder.model.extend(
      params, state.cache, state.last_B[:, None]
    )
    probs_Bx1xV = distributions.probabilities(
      logits_Bx1xV, distributions.raw(logits_Bx1xV), sampling
    )
    drawn_B = distributions.draw(
      probs_Bx1xV[:, 0], u_Bx1x3[:, 0, distributions.DRAFT]
    )
    active_B = ~state.done_B
    token_B = jnp.where(active_B, drawn_B, 0)
    length_B = state.length_B + active_B
    write = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
    return _State(
      # Rows advance together, so a finished one is short of N and writes a 0.
      token_BxN=write(state.token_BxN, token_B[:, None], state.length_B, 0),
      length_B=length_B,
      last_B=jnp.where(active_B, token_B, state.last_B),
      done_B=state.done_B | (token_B == decoder.eos_id) | (length_B >= N),
      cache=cache.replace(length_B=state.cache.length_B + active_B),
    )

  state = _State(
    token_BxN=jnp.zeros((B, N), jnp.int32),
    length_B=jnp.zeros(B, jnp.int32),
    last_B=prompts.repeat(last_P),
    done_B=jnp.zeros(B, bool),
    cache=cache_lib.repeat(cache, prompts.copies),
  )
  state = lax.while_loop(lambda s: ~jnp.all(s.done_B), iterate, state)
  return results.Result(token_BxN=state.token_BxN, length_B=state.length_B)
