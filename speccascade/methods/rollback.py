"""BiLD's rollback: drafts are kept while the verifier finds them likely.

Kim et al. 2023, "Speculative Decoding with Big Little Decoder".
"""

import dataclasses

import jax.numpy as jnp

from speccascade import rules
from speccascade.decoding import defer as defer_lib


@dataclasses.dataclass(frozen=True)
class Rollback:
  """Keeps x where -log p_raw(x) <= alpha, else draws from p.

  The law is that of the rule `bild`, with more rejections than the ratio test
  has: a token outside the acceptance set is rejected however often the drafter
  gives it.
  """

  name = 'bild_rollback'
  parameters = rules.RULES['bild'].parameters
  drafts = True
  plan_changes_text = False
  divergence_rejects = False
  lossless = False
  invariant = False
  role = None
  family = 'cascades'

  def defer(self, draft, verified, values, u_BxGxU):
    """See `decoding.defer.Defers`."""
    (alpha_B,) = values
    q, p, p_raw = draft.q_BxGxV, verified.p_BxGxV, verified.p_raw_BxGxV
    at = draft.token_BxG[..., None]
    p_x_BxG = jnp.take_along_axis(p_raw, at, -1)[..., 0]
    return defer_lib.replace_first_rejected(
      draft,
      p_x_BxG >= jnp.exp(-alpha_B)[:, None],
      lambda pick: pick(p),
      rules.RULES['bild'](q, p, draft.q_raw_BxGxV, p_raw, alpha_B[:, None]),
      u_BxGxU,
    )
