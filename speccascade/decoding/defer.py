"""How a block of drafts becomes tokens: what a method is given and returns.

Letters: B rows, R rows of a group, G positions of a block, V vocabulary.
"""

from collections.abc import Callable
from typing import Protocol

import flax.struct
import jax
import jax.numpy as jnp

from speccascade.decoding import draft as draft_lib
from speccascade.rules import base
from speccascade.sampling import draws, keys, probabilities


@flax.struct.dataclass
class Verified:
  """What the verifier says of a block.

  Attributes:
    p_BxGxV: what it samples from.
    p_raw_BxGxV: the same before temperature, top-k and top-p.
  """

  p_BxGxV: jax.Array
  p_raw_BxGxV: jax.Array


@flax.struct.dataclass
class Outcome:
  """What becomes of a block.

  Attributes:
    token_BxG: the drafts, the first rejected one replaced. Entries past it are
      unspecified.
    kept_B: drafts before it; G where none is rejected.
    pi_BxGxV: the target distribution of each position.
  """

  token_BxG: jax.Array
  kept_B: jax.Array
  pi_BxGxV: jax.Array


class Defers(Protocol):
  """How rows of a batch defer to the verifier. Hashable.

  Attributes:
    name: of the method.
    parameters: of which each row has values.
    lossless: whether rows sample the verifier's own distribution, so that a
      greedy token is the same without a draft; schedules with `begin` ask.
    invariant: whether any token is; likewise.
  """

  name: str
  parameters: tuple[base.Parameter, ...]
  lossless: bool
  invariant: bool

  def defer(
    self,
    draft: draft_lib.Draft,
    verified: Verified,
    values: tuple[jax.Array, ...],
    u_BxGxU: jax.Array,
  ) -> Outcome:
    """Decides on a block of each row.

    Args:
      draft: Draft of the block.
      verified: Verified.
      values: an array [B] for each of the parameters.
      u_BxGxU: uniforms by role, see `sampling.keys`.
    """


@jax.named_scope('defer')
def of_groups(groups, draft, verified, values, u_BxGxU, divergences):
  """(token_BxG, kept_B, D_TV(pi, q) BxG) of groups of rows in their order.

  The last is None unless `divergences`.
  """
  outcomes, start = [], 0
  for group, own_values in zip(groups, values, strict=True):
    own = slice(start, start + group.rows)
    own_draft, own_verified, u_RxGxU = jax.tree.map(
      lambda x, own=own: x[own], (draft, verified, u_BxGxU)
    )
    outcome = group.method.defer(
      own_draft,
      own_verified,
      tuple(jnp.asarray(x).astype(draft.q_BxGxV.dtype) for x in own_values),
      u_RxGxU,
    )
    divergence_RxG = None
    if divergences:
      divergence_RxG = probabilities.total_variation(
        outcome.pi_BxGxV, own_draft.q_BxGxV
      )
    outcomes.append((outcome.token_BxG, outcome.kept_B, divergence_RxG))
    start += group.rows
  return jax.tree.map(lambda *x: jnp.concatenate(x), *outcomes)


def replace_first_rejected(
  draft: draft_lib.Draft,
  keep_BxG: jax.Array,
  weight: Callable[[Callable], jax.Array],
  pi_BxGxV: jax.Array,
  u_BxGxU: jax.Array,
) -> Outcome:
  """Keeps drafts up to the first rejected one and draws that one anew.

  Args:
    draft: Draft.
    keep_BxG: whether each draft is accepted, given those before it are.
    weight: of `pick`, which takes the rejected position out of BxGx..., the
      weights BxV that its token is drawn from.
    pi_BxGxV: for the outcome.
    u_BxGxU: uniforms by role.
  """
  G = keep_BxG.shape[1]
  keep_BxG &= jnp.arange(G) < draft.length_B[:, None]
  kept_B = jnp.cumprod(keep_BxG, 1).sum(1, dtype=jnp.int32)
  at_Bx1 = jnp.minimum(kept_B, G - 1)[:, None]
  pick = lambda y: jnp.take_along_axis(y, at_Bx1[..., None], 1)[:, 0]  # noqa: E731
  redrawn_B = draws.draw(weight(pick), pick(u_BxGxU)[:, keys.RESIDUAL])
  rejected_BxG = jnp.arange(G) == kept_B[:, None]
  token_BxG = jnp.where(rejected_BxG, redrawn_B[:, None], draft.token_BxG)
  return Outcome(token_BxG, kept_B, pi_BxGxV)
