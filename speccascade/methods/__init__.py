"""Methods by name, and the decoding of a batch that follows them."""

from typing import Any

from speccascade import rules
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.methods import (
  alone,
  base,
  invariant,
  ratio,
  rollback,
  sequence_cascade,
  token_cascade,
)

VERIFIER_ALONE = alone.Alone('verifier')
DRAFTER_ALONE = alone.Alone('drafter')
STRICT = ratio.Ratio(rules.RULES['strict'])

METHODS: dict[str, base.Method] = {
  method.name: method
  for method in (
    VERIFIER_ALONE,
    DRAFTER_ALONE,
    *map(ratio.Ratio, rules.RULES.values()),
    sequence_cascade.SequenceCascade('sequence_mean', None),
    sequence_cascade.SequenceCascade('sequence_min', 0.0),
    sequence_cascade.SequenceCascade('sequence_q10', 0.1),
    sequence_cascade.SequenceCascade('sequence_median', 0.5),
    token_cascade.TokenCascade(),
    rollback.Rollback(),
    invariant.Invariant(),
  )
}


def get(name: str) -> base.Method:
  """Returns the method of that name, or raises ValueError that lists all."""
  if name not in METHODS:
    raise ValueError(f'unknown method {name!r}; known: {", ".join(METHODS)}')
  return METHODS[name]


def decode(
  models: tuple[Any, Any],
  params: tuple[Any, Any],
  groups: tuple[loop_lib.Group, ...],
  request: results.Request,
  plan: schedules.Plan | None,
  max_new_tokens: int,
  eos_ids: tuple[int, ...],
  observe=None,
  divergences: bool = True,
) -> results.Result:
  """Decodes a batch whose rows follow methods in contiguous groups.

  Args:
    models: (drafter, verifier).
    params: their parameters.
    groups: of drafting methods, or one alone of another.
    request: Request.
    plan: how drafts are sized; None where nothing is drafted ahead.
    max_new_tokens: most tokens generated.
    eos_ids: tokens that end a row.
    observe: see `decoding.loop.Loop`.
    divergences: likewise.

  Raises:
    ValueError: an argument is out of range; nothing was compiled.
  """
  if plan is None:
    (group,) = groups
    return group.method.decode(models, params, request, max_new_tokens, eos_ids)
  told = observe, divergences
  loop = make_loop(models, groups, plan, max_new_tokens, eos_ids, *told)
  return loop_lib.decode(loop, params, request)


def make_loop(
  models: tuple[Any, Any],
  groups: tuple[loop_lib.Group, ...],
  plan: schedules.Plan,
  max_new_tokens: int,
  eos_ids: tuple[int, ...],
  observe=None,
  divergences: bool = True,
) -> loop_lib.Loop:
  """Returns the loop by which methods that draft are decoded; see `decode`."""
  return loop_lib.Loop(
    *models,
    plan.gamma,
    max_new_tokens,
    eos_ids,
    tuple(groups),
    schedules.get(plan.schedule),
    observe,
    divergences,
  )
