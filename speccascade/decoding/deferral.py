"""From a rule's target to tokens: which drafts stay, and what replaces one.

Letters: B rows, G tokens of a block, V vocabulary.
"""

import flax.struct
import jax
import jax.numpy as jnp

from speccascade import distributions


@flax.struct.dataclass
class Target:
  """What a block is judged by.

  Attributes:
    pi_BxGxV: the rule's target distribution.
    p_BxGxV: what the verifier samples from.
    p_raw_BxGxV: the same before temperature, top-k and top-p.
    alpha_B: deferral thresholds.
  """

  pi_BxGxV: jax.Array
  p_BxGxV: jax.Array
  p_raw_BxGxV: jax.Array
  alpha_B: jax.Array


def speculative(draft, target, u_BxGx3):
  """The paper's GenSpecSample: what is emitted follows pi exactly.

  x is kept with probability min(1, pi(x) / q(x)), else drawn from
  norm(max(0, pi - q)).

  Args:
    draft: drafting.Draft.
    target: Target.
    u_BxGx3: uniforms by role.

  Returns:
    (tokens_BxG with the first rejected one replaced, drafts before it).
  """
  keep_BxG = distributions.accepts(
    draft.token_BxG,
    u_BxGx3[..., distributions.ACCEPT],
    target.pi_BxGxV,
    draft.q_BxGxV,
  )
  return _replace(
    draft,
    keep_BxG,
    lambda pick: distributions.residual(
      pick(target.pi_BxGxV), pick(draft.q_BxGxV)
    ),
    u_BxGx3,
  )


def bild(draft, target, u_BxGx3):
  """BiLD: x is kept where -log p_raw(x) <= alpha, else drawn from p.

  The law is that of the rule `bild`, with more rejections than `speculative`
  has. Kim et al. 2023, "Speculative Decoding with Big Little Decoder".

  Args:
    draft: drafting.Draft.
    target: Target.
    u_BxGx3: uniforms by role.

  Returns:
    (tokens_BxG with the first rejected one replaced, drafts before it).
  """
  at = draft.token_BxG[..., None]
  p_x_BxG = jnp.take_along_axis(target.p_raw_BxGxV, at, -1)[..., 0]
  keep_BxG = p_x_BxG >= jnp.exp(-target.alpha_B)[:, None]
  return _replace(draft, keep_BxG, lambda pick: pick(target.p_BxGxV), u_BxGx3)


def _replace(draft, keep_BxG, weight, u_BxGx3):
  G = keep_BxG.shape[1]
  keep_BxG &= jnp.arange(G) < draft.length_B[:, None]
  accepted_B = jnp.cumprod(keep_BxG, 1).sum(1, dtype=jnp.int32)
  at_Bx1 = jnp.minimum(accepted_B, G - 1)[:, None]
  pick = lambda y: jnp.take_along_axis(y, at_Bx1[..., None], 1)[:, 0]  # noqa: E731
  redrawn_B = distributions.draw(
    weight(pick), pick(u_BxGx3)[:, distributions.RESIDUAL]
  )
  rejected_BxG = jnp.arange(G) == accepted_B[:, None]
  token_BxG = jnp.where(rejected_BxG, redrawn_B[:, None], draft.token_BxG)
  return token_BxG, accepted_B
