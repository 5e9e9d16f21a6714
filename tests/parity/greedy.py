"""Greedy decoding of prompts that are tokens."""

import numpy as np

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.sampling import keys, probabilities


def decode(models, params, method, prompts, new, end, gamma=None):
  """Decodes a token sequence after each prompt, at temperature 0.

  Args:
    models: (drafter, verifier).
    params: theirs.
    method: of `methods`.
    prompts: (token_BxS, length_B), padded on the right.
    new: tokens of each.
    end: token that would end an answer: one that none has.
    gamma: draft length; None where nothing is drafted.

  Returns:
    Result.
  """
  B = len(prompts[1])
  request = results.Request(
    results.Prompts(*prompts, np.arange(B)),
    probabilities.Sampling(np.zeros(B), np.ones(B)),
    ((),),
    keys.make(0),
  )
  return methods.decode(
    models,
    params,
    (loop_lib.Group(method, B),),
    request,
    None if gamma is None else schedules.Plan(gamma),
    new,
    (end,),
  )


def unused(vocab_size, *tokens):
  """Returns a token that is none of these."""
  held = np.unique(np.concatenate([np.ravel(x) for x in tokens]))
  return next(i for i in range(vocab_size) if i not in held)
