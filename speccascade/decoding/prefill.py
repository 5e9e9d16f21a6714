"""Reading prompts: once each, for all the rows that continue them."""

from typing import Any

import jax

from speccascade.decoding import results
from speccascade.models import base
from speccascade.models import cache as cache_lib


@jax.named_scope('prefill')
def prefill(
  model: base.Model,
  params: Any,
  prompts: results.Prompts,
  *,
  new_tokens: int,
  block: int,
) -> tuple[cache_lib.Cache, jax.Array]:
  """Reads prompts inside a program.

  Args:
    model: the one that reads.
    params: its parameters.
    prompts: Prompts.
    new_tokens: most tokens that a row will hold after its prompt.
    block: longest block that the model will be given.

  Returns:
    (cache of each row, token_B: the first that a row's block must begin with;
    the cache holds what comes before it).
  """
  cache, last_P = model.prefill(
    params,
    prompts.token_PxS,
    prompts.length_P,
    new_tokens=new_tokens,
    block=block,
  )
  return cache_lib.tile(cache, prompts.copies), prompts.tile(last_P)


def unread(
  model: base.Model,
  params: Any,
  prompts: results.Prompts,
  *,
  new_tokens: int,
  block: int,
) -> tuple[cache_lib.Cache, jax.Array]:
  """Does as if prompts were read, for times of what follows; see `prefill`.

  Keys and values are zeros.
  """
  rows, width = prompts.token_PxS.shape
  cache = model.blank(
    params,
    rows,
    width,
    new_tokens=new_tokens,
    block=block,
    chunk=model.chunks(params, rows, width)[1],
  )
  held_P, last_P = model.begin(prompts.token_PxS, prompts.length_P)
  cache = cache_lib.rewind(cache, held_P)
  return cache_lib.tile(cache, prompts.copies), prompts.tile(last_P)
