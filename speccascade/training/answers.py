"""A model's own answers in the place of a batch's targets, drawn on the device.

Letters: B rows, T tokens of a row, N tokens of an answer at most, S tokens of
an encoder's inputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import distributions
from speccascade.decoding import autoregressive, results
from speccascade.tasks import tokenizer as tokenizer_lib


def sample(model, params, batch, max_new_tokens, key):
  """Answers a batch's prompts at temperature 1.

  Args:
    model: the one that answers.
    params: its parameters.
    batch: arrays of `data.Examples.rows`.
    max_new_tokens: most tokens of an answer, EOS included; N is no more than
      that and T - 1. What precedes a target fits T - N tokens: see `check`.
    key: of all draws; row b's are its own.

  Returns:
    The batch with other rows and weights, of the same shapes: what precedes
    the target, the answer, and padding. The answer weighs 1; one that does
    not end within N tokens is cut there.
  """
  token_BxT = batch['token_BxT'].astype(jnp.int32)
  B, T = token_BxT.shape
  N = _answer_width(T, max_new_tokens)
  before_B = jnp.argmax(batch['weight_BxT'], axis=1).astype(jnp.int32)
  before_BxT = jnp.where(
    jnp.arange(T) < before_B[:, None], token_BxT, tokenizer_lib.PAD
  )
  if 'input_BxS' in batch:  # The decoder starts from its inputs alone.
    inputs = batch['input_BxS'].astype(jnp.int32), batch['length_B']
  else:
    inputs = before_BxT[:, : T - N], before_B
  result = autoregressive.run(
    autoregressive.Autoregressive(model, N, tokenizer_lib.EOS),
    params,
    results.Prompts(*inputs, jnp.arange(B)),
    distributions.Sampling(jnp.ones(B), jnp.ones(B)),
    key,
    jnp.zeros(B, bool),
  )
  put = jax.vmap(lax.dynamic_update_slice_in_dim, (0, 0, 0, None))
  weight_BxN = jnp.arange(N) < result.length_B[:, None]
  return batch | {
    'token_BxT': put(before_BxT, result.token_BxN, before_B, 0),
    'weight_BxT': put(
      jnp.zeros((B, T), jnp.uint8), weight_BxN.astype(jnp.uint8), before_B, 0
    ),
  }


def check(examples, max_new_tokens):
  """Raises ValueError if an answer might not fit its row.

  Args:
    examples: a `data.Examples`.
    max_new_tokens: as in `sample`.
  """
  T = examples.token_NxT.shape[1]
  before_N = examples.weight_NxT.argmax(axis=1)
  longest = int(np.argmax(before_N))
  room = T - _answer_width(T, max_new_tokens)
  if before_N[longest] > room:
    raise ValueError(
      f'example {longest} has {before_N[longest]} tokens before its target, '
      f'answers up to {max_new_tokens}; raise length, now {T}, to their sum'
    )


def _answer_width(row_width, max_new_tokens):
  return min(max_new_tokens, row_width - 1)
