"""SeqCascade [Chow]: the drafter answers; if it is unsure, the verifier does.

A row's confidence is the exponential of a statistic of its tokens' log
probabilities under q hat. Where it is below 1 - alpha the verifier answers
from scratch. Source: the paper's section 2; Gupta et al. 2024, "Language
Model Cascades: Token-level Uncertainty and Beyond" (the quantiles).

Letters: B rows, N generated tokens.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.decoding import autoregressive, checks, results
from speccascade.methods import base
from speccascade.sampling import keys


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
  slots = None

  def decode(self, models, params, request, max_new_tokens, eos_ids):
    """Generates with the drafter, then anew with the verifier where unsure.

    See `base.Standalone`. Each token counts as a draft of the drafter; a row
    that the verifier answers rejects and defers all its tokens, at a call each.
    """
    checks.check_pair(*models)
    checks.check_prompts(request.prompts, models, max_new_tokens)
    checks.check_sampling(request.sampling, request.prompts.rows)
    checks.check_values(self, request.values[0], request.prompts.rows)
    decoders = tuple(
      autoregressive.Autoregressive(model, max_new_tokens, eos_ids, role)
      for model, role in zip(models, ('drafter', 'verifier'), strict=True)
    )
    keys.check(request.key)
    result = sharding.on_mesh(_decode, decoders, self.quantile, params, request)
    return checks.finite(result, request.prompts)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decode(decoders, quantile, params, request):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), request.prompts)
  B, N = prompts.rows, decoders[0].max_new_tokens
  (alpha_B,) = map(jnp.asarray, request.values[0])

  def answer(role, skip_B):
    rest = request.sampling, request.key, request.stops, skip_B
    return autoregressive.run(decoders[role], params[role], prompts, *rest)

  draft = answer(0, jnp.zeros(B, bool))
  sure_B = 1 - confidence(draft, quantile) <= alpha_B
  nothing = draft.replace(
    fault_B={'verifier': jnp.full(B, results.NONE, jnp.int32)}
  )
  final = lax.cond(jnp.all(sure_B), lambda: nothing, lambda: answer(1, sure_B))
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
