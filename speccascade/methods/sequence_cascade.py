"""SeqCascade [Chow]: the drafter answers; if it is unsure, the verifier does.

A row's confidence is the exponential of a statistic of its tokens' log
probabilities under q hat. Where it is below 1 - alpha the verifier answers
from scratch. Source: the paper's section 2; Gupta et al. 2024, "Language
Model Cascades: Token-level Uncertainty and Beyond" (the quantiles).

Letters: B rows, N generated tokens.
"""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.decoding import (
  autoregressive,
  blocks,
  checks,
  decoders,
  results,
)
from speccascade.methods import base
from speccascade.sampling import keys


@dataclasses.dataclass(frozen=True)
class Decoder(decoders.ReadsAll):
  """What a compiled program is made for, see `decoding.decoders.Decoder`.

  An iteration is a token of the rows whose drafter has not ended, and one of
  those that it is unsure of.

  Attributes:
    cascade: SequenceCascade.
    alone: Autoregressive of the drafter, and of the verifier.
  """

  cascade: 'SequenceCascade'
  alone: tuple[autoregressive.Autoregressive, autoregressive.Autoregressive]

  groups = None

  @property
  def models(self):
    """See `decoders.Decoder`."""
    return tuple(own.model for own in self.alone)

  @property
  def max_new_tokens(self):
    """See `decoders.Decoder`."""
    return self.alone[0].max_new_tokens

  @property
  def rooms(self):
    """See `decoders.Decoder`."""
    return ((self.max_new_tokens, 1),) * 2

  @property
  def positions(self):
    """See `decoders.Decoder`."""
    return self.max_new_tokens

  def check(self, queue, rows):
    """See `decoders.Decoder`."""
    (own,) = queue.answers
    checks.check_values(self.cascade, own.values, len(own.id_J))

  def start(self, params, request, caches, last_B):
    """See `decoders.Decoder`."""
    draft, final = (
      autoregressive.start(own, params_, request.stops, cache, last_B)
      for own, params_, cache in zip(self.alone, params, caches, strict=True)
    )
    nobody_B = jnp.zeros(len(last_B), bool)
    return _State(draft, final, sure_B=nobody_B, done_B=nobody_B)

  def iterate(self, params, request, u_BxMxU, state):
    """See `decoders.Decoder`."""
    given = request.sampling, request.stops, u_BxMxU

    def go_on(role, own, skip_B):
      """A token of the rows that are not skipped and have not ended."""
      step = functools.partial(
        autoregressive.iterate, self.alone[role], params[role], *given
      )
      new = blocks.when(
        jnp.any(~skip_B & ~own.done_B),
        step,
        own.replace(done_B=own.done_B | skip_B),
      )
      return new.replace(done_B=own.done_B | (new.done_B & ~skip_B))

    draft = go_on(0, state.draft, state.done_B)
    (alpha_B,) = map(jnp.asarray, request.values[0])
    written = autoregressive.result(self.alone[0], draft)
    sure_B = draft.done_B & self.cascade.sure(written, alpha_B)
    final = go_on(1, state.final, state.done_B | sure_B | ~draft.done_B)
    done_B = state.done_B | sure_B | final.done_B
    return _State(draft, final, sure_B, done_B)

  def result(self, state):
    """See `decoders.Decoder`; of rows that are not done, the verifier's."""
    own = map(autoregressive.result, self.alone, (state.draft, state.final))
    return join(state.sure_B, *own)

  def caches(self, state):
    """See `decoders.Decoder`."""
    return state.draft.cache, state.final.cache

  def with_caches(self, state, caches):
    """See `decoders.Decoder`."""
    draft, final = caches
    return state.replace(
      draft=state.draft.replace(cache=draft),
      final=state.final.replace(cache=final),
    )


@flax.struct.dataclass
class _State:
  draft: Any  # of the drafter alone
  final: Any  # of the verifier alone
  sure_B: jax.Array
  done_B: jax.Array


@dataclasses.dataclass(frozen=True)
class SequenceCascade:
  """A cascade over whole answers.

  Attributes:
    name: of the method.
    quantile: of the tokens' log probabilities, in [0, 1]; None is the mean.
  """

  name: str
  quantile: float | None

  parameters = (base.LACK,)
  drafts = False
  plan_changes_text = False
  divergence_rejects = False
  lossless = False
  role = None
  family = 'cascades'

  def decode(self, models, params, request, max_new_tokens, eos_ids):
    """Generates with the drafter, then anew with the verifier where unsure.

    See `base.Standalone`. Each token counts as a draft of the drafter; a row
    that the verifier answers rejects and defers all its tokens, at a call each.
    """
    decoder, _ = self.slots(models, params, max_new_tokens, eos_ids)
    checks.check_prompts(request.prompts, models, max_new_tokens)
    checks.check_sampling(request.sampling, request.prompts.rows)
    checks.check_values(self, request.values[0], request.prompts.rows)
    keys.check(request.key)
    result = sharding.on_mesh(_decode, decoder, params, request)
    return checks.finite(result, request.prompts)

  def slots(self, models, params, max_new_tokens, eos_ids):
    """See `base.Standalone`."""
    checks.check_pair(*models)
    alone = tuple(
      autoregressive.Autoregressive(model, max_new_tokens, eos_ids, role)
      for model, role in zip(models, ('drafter', 'verifier'), strict=True)
    )
    return Decoder(self, alone), params

  def sure(self, draft: results.Result, alpha_B: jax.Array) -> jax.Array:
    """Whether the drafter's answers stay.

    Args:
      draft: Result of the drafter alone.
      alpha_B: of each row.
    """
    return 1 - confidence(draft, self.quantile) <= alpha_B


@functools.partial(jax.jit, static_argnums=0)
def _decode(decoder, params, request):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), request.prompts)
  B = prompts.rows
  (alpha_B,) = map(jnp.asarray, request.values[0])

  def answer(role, skip_B):
    rest = request.sampling, request.key, request.stops, skip_B
    return autoregressive.run(decoder.alone[role], params[role], prompts, *rest)

  draft = answer(0, jnp.zeros(B, bool))
  sure_B = decoder.cascade.sure(draft, alpha_B)
  final = lax.cond(
    jnp.all(sure_B), lambda: unasked(draft), lambda: answer(1, sure_B)
  )
  return join(sure_B, draft, final)


def unasked(draft: results.Result) -> results.Result:
  """Returns what stands for the verifier's Result where all rows are sure."""
  none_B = jnp.full_like(draft.length_B, results.NONE)
  return draft.replace(fault_B={'verifier': none_B})


def join(
  sure_B: jax.Array, draft: results.Result, final: results.Result
) -> results.Result:
  """Returns the drafter's answers where it is sure, and else the verifier's.

  Args:
    sure_B: of `SequenceCascade.sure`.
    draft: Result of the drafter alone.
    final: Result of the verifier alone; what it wrote where the drafter is
      sure does not matter.
  """
  B, N = draft.token_BxN.shape
  own_B = jnp.where(sure_B, 0, final.length_B)
  kept_B = jnp.where(sure_B, draft.length_B, 0)
  length_B = own_B + kept_B
  written_BxN = jnp.arange(N) < length_B[:, None]
  return results.Result(
    token_BxN=jnp.where(sure_B[:, None], draft.token_BxN, final.token_BxN),
    length_B=length_B,
    from_drafter_BxN=sure_B[:, None] & written_BxN,
    counts=results.Counts(
      verifier_calls_B=own_B,
      drafter_steps_B=draft.length_B,
      drafted_B=draft.length_B,
      accepted_B=kept_B,
      rejected_B=own_B,
      deferred_B=own_B,
      divergence_B=own_B.astype(draft.log_prob_BxN.dtype),
      accepted_lengths_BxA=jnp.zeros((B, 0), jnp.int32),
    ),
    fault_B=draft.fault_B | final.fault_B,
  )


def confidence(result, quantile):
  """Each row's confidence in (0, 1].

  Args:
    result: Result with `log_prob_BxN`.
    quantile: of the log probabilities, the nearest rank; None is the mean.

  Returns:
    [B] exponentials of the statistic.
  """
  length_B, N = result.length_B, result.log_prob_BxN.shape[1]
  if quantile is None:
    return jnp.exp(result.log_prob_BxN.sum(1) / length_B)
  written_BxN = jnp.arange(N) < length_B[:, None]
  sorted_BxN = jnp.sort(jnp.where(written_BxN, result.log_prob_BxN, np.inf))
  rank_B = jnp.round(quantile * (length_B - 1)).astype(jnp.int32)
  return jnp.exp(jnp.take_along_axis(sorted_BxN, rank_B[:, None], 1)[:, 0])
