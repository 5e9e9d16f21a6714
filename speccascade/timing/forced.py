"""A stand-in for the strict rule whose drafts stand at a rate that is given."""

import dataclasses

from speccascade.decoding import defer as defer_lib
from speccascade.rules import base
from speccascade.sampling import keys


@dataclasses.dataclass(frozen=True)
class Forced:
  """Accepts each draft by a toss; a rejected one is drawn from p.

  Models with random weights agree on nothing, so that their own acceptance
  tells nothing of what drafting pays. Text is noise; as of the strict rule a
  block without a draft has the verifier's token.
  """

  name = 'forced'
  parameters = (base.Parameter('acceptance', 0, 1),)
  lossless = True
  invariant = False

  def defer(self, draft, verified, values, u_BxGxU):
    """See `decoding.defer.Defers`."""
    (rate_B,) = values
    return defer_lib.replace_first_rejected(
      draft,
      u_BxGxU[..., keys.ACCEPT] < rate_B[:, None],
      lambda pick: pick(verified.p_BxGxV),
      verified.p_BxGxV,
      u_BxGxU,
    )
