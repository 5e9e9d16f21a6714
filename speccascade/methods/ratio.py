"""A deferral rule executed by the ratio test: the paper's GenSpecSample.

A draft x is accepted with probability min(1, pi(x) / q(x)), else the token is
drawn from norm(max(0, pi - q)). What is emitted follows pi exactly and is
rejected with probability D_TV(pi, q).
"""

import dataclasses

from speccascade.decoding import defer as defer_lib
from speccascade.rules import base
from speccascade.sampling import draws, keys


@dataclasses.dataclass(frozen=True)
class Ratio:
  """Follows a rule's target distribution.

  Attributes:
    rule: one of rules.RULES, or any of its kind.
  """

  rule: base.Rule

  drafts = True
  plan_changes_text = False
  divergence_rejects = True
  invariant = False
  role = None

  @property
  def name(self) -> str:
    """That of the rule."""
    return self.rule.__name__

  @property
  def parameters(self) -> tuple[base.Parameter, ...]:
    """Those of the rule."""
    return self.rule.parameters

  @property
  def family(self) -> str:
    """The module of the rule."""
    return self.rule.__module__.rpartition('.')[2]

  @property
  def lossless(self) -> bool:
    """Whether the rule is."""
    return self.rule.lossless

  def defer(self, draft, verified, values, u_BxGxU):
    """See `decoding.defer.Defers`."""
    q_BxGxV = draft.q_BxGxV
    pi_BxGxV = self.rule(
      q_BxGxV,
      verified.p_BxGxV,
      draft.q_raw_BxGxV,
      verified.p_raw_BxGxV,
      *(value_B[:, None] for value_B in values),
    )
    keep_BxG = draws.accepts(
      draft.token_BxG, u_BxGxU[..., keys.ACCEPT], pi_BxGxV, q_BxGxV
    )
    return defer_lib.replace_first_rejected(
      draft,
      keep_BxG,
      lambda pick: draws.residual(pick(pi_BxGxV), pick(q_BxGxV)),
      pi_BxGxV,
      u_BxGxU,
    )
