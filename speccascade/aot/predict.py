"""Predicts times from what a program moves and computes.

A part takes as long as its bytes at the memory's bandwidth or its products at
the peak, whichever is longer, and each collective its bytes at the bandwidth of
the links and `LATENCY`. No TPU was measured: these are floors.
"""

from typing import Any, NamedTuple

from speccascade.aot import chips

LATENCY = 1e-6  # Seconds of a collective of a few bytes.


class Times(NamedTuple):
  """Predicted milliseconds.

  Attributes:
    verifier_token: of the verifier alone.
    drafter_step: one of an iteration's, with its collectives.
    iteration: gamma + 1 drafter steps, a verifier block and the deferral.
  """

  verifier_token: float
  drafter_step: float
  iteration: float


def times(needs: dict[str, Any], chip: chips.Chip, gamma: int) -> Times:
  """Predicts the times of a cell.

  Args:
    needs: of `fit.of`, which fits.
    chip: of its slice.
    gamma: draft length.
  """
  flops, steps = needs['flops'], gamma + 1
  block = needs['iteration'] - steps * needs['drafter_step']
  links = _links(needs['drafter_collectives'], chip)
  others = _links(needs['collectives'], chip) - steps * links
  step = _part(needs['drafter_step'], flops['drafter_step'], chip) + links
  whole = steps * step + _part(block, flops['block'], chip) + others
  # A block of one token moves and sends what a longer one does, all but its
  # logits; the deferral's share counts, too.
  alone = _part(block, flops['verifier_step'], chip) + others
  return Times(1e3 * alone, 1e3 * step, 1e3 * whole)


def tokens(acceptance: float, gamma: int) -> float:
  """Tokens of an iteration, if each draft is accepted alike and alone.

  1 + a + ... + a^gamma: the last position's draft is verified as all are, so
  that nothing follows a block that is accepted whole.
  """
  return sum(acceptance**i for i in range(gamma + 1))


def _part(moved, computed, chip):
  return max(moved / chip.bandwidth, computed / chip.flops)


def _links(collectives, chip):
  return sum(
    number * LATENCY + nbytes / chip.links
    for number, nbytes in collectives.values()
  )
