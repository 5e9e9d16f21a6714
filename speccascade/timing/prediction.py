"""Predicts the latency of answers from counts and measured costs.

An answer of a model alone takes its prefill and a step for each token. An
answer of drafts of fixed length takes both prefills and, for each verifier
call, gamma + 1 drafter steps and a block of gamma + 1 tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from speccascade.decoding import replay
from speccascade.timing import costs as costs_lib


def seconds(
  outputs: Sequence[Mapping[str, Any]],
  widths: Sequence[int],
  costs: costs_lib.Costs,
  role: Literal['drafter', 'verifier'] | None = None,
  gamma: int | None = None,
) -> float | None:
  """Predicts the time of answers decoded at batch 1, one after the other.

  Args:
    outputs: lines of `jobs.collect` of one setting: 'tokens', their number,
      and 'from_drafter', a '1' for each accepted draft and a '0' for each
      other token.
    widths: width of each output's prompt, padding included.
    costs: of the pair; has a prefill of each width and the blocks used.
    role: the model that decodes alone; None if both do.
    gamma: length of fixed drafts, each accepted until its first rejection.
      None where the outputs do not determine the blocks: under other schedules
      and for methods that revise accepted drafts.

  Returns:
    Seconds in total; None if both `role` and `gamma` are None.

  Raises:
    ValueError: both `role` and `gamma` are given.
  """
  if role is not None and gamma is not None:
    raise ValueError(f'gamma must be None for {role} alone, got {gamma}')
  prefill = [costs.prefill[width] for width in widths]
  if role is not None:
    step = {'drafter': costs.drafter_step, 'verifier': costs.verifier_block[1]}
    tokens = sum(x['tokens'] for x in outputs)
    return (tokens * step[role] + sum(p[role] for p in prefill)) / 1e3
  if gamma is None:
    return None
  calls = sum(
    replay.accepted_lengths(
      [kept == '1' for kept in x['from_drafter']], gamma
    ).sum()
    for x in outputs
  )
  iteration = (gamma + 1) * costs.drafter_step + costs.verifier_block[gamma + 1]
  both = sum(p['drafter'] + p['verifier'] for p in prefill)
  return float(calls * iteration + both) / 1e3
