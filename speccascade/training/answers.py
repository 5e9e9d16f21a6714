"""Answers that a model draws on the device, in place of a batch's targets."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import sharding
from speccascade.decoding import autoregressive, results
from speccascade.models import base, registry
from speccascade.sampling import probabilities
from speccascade.training import data


def sample(
  model: base.Model,
  params: Any,
  batch: Mapping[str, jax.Array],
  max_new_tokens: int,
  eos_ids: tuple[int, ...],
  key: jax.Array,
) -> dict[str, jax.Array]:
  """Answers a batch's prompts at temperature 1.

  Args:
    model: answers.
    params: its parameters.
    batch: arrays of `data.Examples.rows`. What precedes a target must fit
      T - N tokens: see `check`.
    max_new_tokens: most tokens of an answer, EOS included; N is the smaller of
      it and T - 1.
    eos_ids: tokens that end an answer.
    key: of all draws; each row has its own draws.

  Returns:
    The batch with new rows and weights of the same shapes: a row is what
    precedes the target, the answer and padding. The answer has weight 1; it
    is cut after N tokens.
  """
  # Once, not for each token.
  partition = registry.family_of(model.config).partition
  params = sharding.gather(params, partition)
  token_BxT = batch['token_BxT'].astype(jnp.int32)
  B, T = token_BxT.shape
  N = _answer_width(T, max_new_tokens)
  before_B = jnp.argmax(batch['weight_BxT'], axis=1).astype(jnp.int32)
  before_BxT = jnp.where(jnp.arange(T) < before_B[:, None], token_BxT, 0)
  if 'input_BxS' in batch:  # The decoder starts from its inputs alone.
    inputs = batch['input_BxS'].astype(jnp.int32), batch['length_B']
  else:
    inputs = before_BxT[:, : T - N], before_B
  result = autoregressive.run(
    autoregressive.Autoregressive(model, N, eos_ids),
    params,
    results.Prompts(*inputs, jnp.arange(B)),
    probabilities.Sampling(jnp.ones(B), jnp.ones(B), asked=probabilities.PLAIN),
    key,
    stops=(),
    skip_B=jnp.zeros(B, bool),
  )
  put = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
  weight_BxN = jnp.arange(N) < result.length_B[:, None]
  return batch | {
    'token_BxT': put(before_BxT, result.token_BxN, before_B, 0),
    'weight_BxT': put(
      jnp.zeros((B, T), jnp.uint8), weight_BxN.astype(jnp.uint8), before_B, 0
    ),
  }


def check(examples: data.Examples, max_new_tokens: int) -> None:
  """Raises ValueError if an answer may not fit its row.

  Args:
    examples: of the split that is trained on.
    max_new_tokens: as in `sample`.
  """
  T = examples.token_ExT.shape[1]
  before_E = examples.weight_ExT.argmax(axis=1)
  longest = int(np.argmax(before_E))
  if before_E[longest] > T - _answer_width(T, max_new_tokens):
    raise ValueError(
      f'length={T} must be at least {before_E[longest] + max_new_tokens}: '
      f'example {longest} has {before_E[longest]} tokens before its target '
      f'and an answer up to {max_new_tokens}'
    )


def _answer_width(row_width, max_new_tokens):
  return min(max_new_tokens, row_width - 1)
