"""Speculative decoding whose text no drafter, and no draft, changes.

Daliri, Musco and Suresh, "Coupling without Communication and Drafter-Invariant
Speculative Decoding", arXiv 2408.07978, with this project's draw in place of
their Gumbel noise.
"""

import dataclasses

import jax.numpy as jnp

from speccascade.decoding import defer as defer_lib
from speccascade.sampling import draws, keys


@dataclasses.dataclass(frozen=True)
class Invariant:
  """The verifier's own token, drawn with the uniforms of the drafter's draw.

  A draft is kept where both drew the same token. So the text is that of
  `verifier_alone` with the same seed at any temperature, but for rounding, and
  a draft may be left out. The ratio test of `strict` keeps more drafts: few
  more of laws of few likely tokens, many more of flat ones.
  """

  name = 'drafter_invariant'
  parameters = ()
  drafts = True
  plan_changes_text = False
  divergence_rejects = False
  lossless = True
  invariant = True
  role = None
  family = 'confidence'  # It shares the panel of `strict`.

  def defer(self, draft, verified, values, u_BxGxU):
    """See `decoding.defer.Defers`."""
    del values
    p_BxGxV = verified.p_BxGxV
    token_BxG = draws.draw(p_BxGxV, u_BxGxU[..., keys.DRAFT])
    drafted_BxG = jnp.arange(token_BxG.shape[1]) < draft.length_B[:, None]
    keep_BxG = drafted_BxG & (token_BxG == draft.token_BxG)
    kept_B = jnp.cumprod(keep_BxG, 1).sum(1, dtype=jnp.int32)
    return defer_lib.Outcome(token_BxG, kept_B, p_BxGxV)
