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

from speccascade.decoding import autoregressive, checks, results


@dataclasses.dataclass(frozen=True)
class SequenceCascade:
  """The static half of a cascade over whole answers.

  Attributes:
    drafter: model q.
    verifier: model p, of the same vocabulary.
    max_new_tokens: N, most tokens generated.
    eos_id: token that ends a row.
    quantile: of the tokens' log probabilities, in [0, 1]; None is the mean.
  """

  drafter: object
  verifier: object
  max_new_tokens: int
  eos_id: int
  quantile: float | None = None

  def __post_init__(self):
    checks.check_pair(self.drafter, self.verifier)
    if self.quantile is not None and not 0 <= self.quantile <= 1:
      raise ValueError(f'quantile={self.quantile} must be in [0, 1] or None')


def decode(cascade, params, prompts, sampling, alpha_B, key):
  """Generates with the drafter, then anew with the verifier where unsure.

  Args:
    cascade: SequenceCascade; another one compiles another program.
    params: (drafter parameters, verifier parameters).
    prompts: Prompts.
    sampling: distributions.Sampling, of both models.
    alpha_B: how far each row's confidence may be from 1, in [0, 1].
    key: jax.random.key of the run's seed.

  Returns:
    Result. Each token counts as a draft of the drafter; a row that the
    verifier answers rejects and defers all its tokens, at a call each.

  Raises:
    ValueError: an argument is out of range; nothing was compiled.
  """
  models = (cascade.drafter, cascade.verifier)
  checks.check_prompts(prompts, models, cascade.max_new_tokens)
  checks.check_sampling(sampling, prompts.rows)
  alpha_B = checks.check_confidence(alpha_B, prompts.rows)
  return _decode(cascade, params, prompts, sampling, alpha_B, key)


@functools.partial(jax.jit, static_argnums=0)
def _decode(cascade, params, prompts, sampling, alpha_B, key):
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)
  B, N = prompts.rows, cascade.max_new_tokens

  def answer(model, params, skip_B):
    decoder = autoregressive.Autoregressive(model, N, cascade.eos_id)
    return autoregressive.run(decoder, params, prompts, sampling, key, skip_B)

  draft = answer(cascade.drafter, params[0], jnp.zeros(B, bool))
  sure_B = confidence(draft, cascade.quantile) >= 1 - alpha_B
  final = lax.cond(
    jnp.all(sure_B),
    lambda: draft,
    lambda: answer(cascade.verifier, params[1], sure_B),
  )
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
      accepted_lengths_BxG=jnp.zeros((B, 0), jnp.int32),
    ),
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
