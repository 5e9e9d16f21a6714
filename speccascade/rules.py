"""Deferral rules: pure functions from two distributions to a third.

A rule takes `(q, p, q_raw, p_raw, alpha)` and returns the target distribution
pi, all over the last axis:

  q, p: what the drafter and the verifier sample from, after temperature,
    top-k and top-p, [..., V].
  q_raw, p_raw: the same models before any of that (q hat and p hat).
  alpha: deferral threshold, broadcast over the leading axes, [...]. A larger
    alpha keeps the drafter at more positions or for more tokens. For the
    token rules that need not mean fewer rejections: the mass q has outside A
    is spread as p over all tokens, also over those that A keeps.

The decoder samples from pi exactly, whatever the rule. To add one: write the
function with its range of alpha, and name it in `RULES`. Equations are those
of Narasimhan et al., "Faster Cascades via Speculative Decoding", ICLR 2025.
"""

import math

import jax
import jax.numpy as jnp

from speccascade import distributions


def alpha_range(low, high, *, open_low=False, open_high=False):
  """Declares the values of alpha that a rule takes; see `check_alpha`."""

  def declare(rule):
    rule.alpha_range = (low, high, open_low, open_high)
    return rule

  return declare


def no_alpha(rule):
  """Declares that a rule ignores alpha."""
  rule.alpha_range = None
  return rule


def total_variation(p, q):
  """D_TV(p, q) = sum_v max(0, p(v) - q(v)) over the last axis."""
  return jnp.maximum(p - q, 0).sum(-1)


@no_alpha
def strict(q, p, q_raw, p_raw, alpha):
  """Speculative decoding: pi = p, lossless. No alpha.

  Leviathan et al. 2023; Chen et al. 2023.
  """
  del q, q_raw, p_raw, alpha
  return p


@no_alpha
def drafter(q, p, q_raw, p_raw, alpha):
  """The drafter alone, executed as a cascade: pi = q. No alpha."""
  del p, q_raw, p_raw, alpha
  return q


@alpha_range(-1, 1)
def chow(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= 1 - alpha, else p.

  Alpha: the drafter's confidence may miss certainty by so much, [-1, 1];
  strict below 0 (and at 0 unless the drafter is certain), the drafter at 1.
  Source: equation 2.
  """
  del p_raw
  return _keep(q_raw.max(-1) >= 1 - alpha, q, p)


@alpha_range(-1, 1)
def diff(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= max p_raw - alpha, else p.

  Alpha: confidence that the drafter may lack beside the verifier, [-1, 1];
  strict at -1, the drafter at 1; not strict at 0. Source: equation 5.
  """
  return _keep(q_raw.max(-1) >= p_raw.max(-1) - alpha, q, p)


@alpha_range(-math.inf, math.inf)
def opt(q, p, q_raw, p_raw, alpha):
  """Pi = q where max q_raw >= max p_raw - alpha * D_TV(p, q), else p.

  The optimal rule's plug-in estimate: alpha is the cost of a rejection in
  units of accuracy. Any finite value, useful ones in [0, 2]; strict as alpha
  falls to minus infinity (pi = q then only where q = p); not strict at 0,
  where it equals diff. D_TV is of the tempered q and p. Source: equation 10.
  """
  lenience = alpha * total_variation(p, q)
  return _keep(q_raw.max(-1) >= p_raw.max(-1) - lenience, q, p)


@alpha_range(-1, 1)
def token_v1(q, p, q_raw, p_raw, alpha):
  """Pi = q on A, the mass left to p; A = {v: q_raw(v) >= max p_raw - alpha}.

  pi(v) = q(v) 1[v in A] + p(v) (1 - q(A)). Alpha in [-1, 1]; strict at -1
  (A is empty), the drafter at 1; not strict at 0. Source: equation 13.
  """
  return _token(q_raw >= _top(p_raw) - _over(alpha), q, p)


@alpha_range(-1, 1)
def token_v2(q, p, q_raw, p_raw, alpha):
  """As token_v1 with A = {v: p_raw(v) >= max p_raw - alpha}.

  Alpha in [-1, 1]; strict below 0 (A is empty), the drafter at 1; at 0, A is
  the verifier's most probable token, which is not strict. Source: equation 14.
  """
  del q_raw
  return _token(p_raw >= _top(p_raw) - _over(alpha), q, p)


@alpha_range(-1, 1)
def token_v3(q, p, q_raw, p_raw, alpha):
  """As token_v1 with A = {v: p_raw(v) >= (1 - alpha) max p_raw}.

  Alpha in [-1, 1]; strict below 0 (A is empty), the drafter at 1; at 0, A is
  the verifier's most probable token, which is not strict. Source: equation 15.
  """
  del q_raw
  return _token(p_raw >= (1 - _over(alpha)) * _top(p_raw), q, p)


@alpha_range(0, 1, open_high=True)
def lossy(q, p, q_raw, p_raw, alpha):
  """Pi = max{min{q, p / (1 - alpha)}, p / beta}, beta such that pi sums to 1.

  Alpha in [0, 1): a drafted token is accepted although it is up to
  1 / (1 - alpha) times more probable than the verifier says; strict at 0.
  Source: Table 1; Tran-Thien 2023.
  """
  del q_raw, p_raw
  low = jnp.minimum(q, p / (1 - _over(alpha)))

  # f(s) = sum max(low, s p) is convex, piecewise linear and at least 1 at
  # s = 1 / beta = 1: Newton's method from there falls to the root and reaches
  # it exactly after finitely many pieces.
  def step(carry):
    s, _ = carry
    above = s[..., None] * p > low
    slope = jnp.where(above, p, 0).sum(-1)
    rest = jnp.where(above, 0, low).sum(-1)
    better = (1 - rest) / jnp.where(slope > 0, slope, 1)
    better = jnp.where(slope > 0, jnp.clip(better, 0, s), s)
    return better, jnp.any(better < s)

  s = jnp.ones_like(p[..., 0] + q[..., 0] + alpha)
  s, _ = jax.lax.while_loop(lambda c: c[1], step, step((s, True)))
  return _normalise(jnp.maximum(low, s[..., None] * p))


def _lossy_at(beta, name):
  """Lossy speculative decoding with a given beta.

  pi = min{q, p / (1 - alpha)} + (missing mass) norm(max(0, p / beta - q)).
  Alpha in [0, 1); strict at 0 where beta is 1. Source: Table 1; beta = 1 is
  Leviathan et al. 2023, appendix A.5.
  """

  @alpha_range(0, 1, open_high=True)
  def rule(q, p, q_raw, p_raw, alpha):
    del q_raw, p_raw
    low = jnp.minimum(q, p / (1 - _over(alpha)))
    excess = jnp.maximum(p / beta - q, 0)
    total = excess.sum(-1, keepdims=True)
    share = jnp.where(total > 0, excess / jnp.where(total > 0, total, 1), p)
    return low + jnp.maximum(1 - low.sum(-1, keepdims=True), 0) * share

  rule.__name__, rule.__doc__ = name, _lossy_at.__doc__
  return rule


lossy_beta1 = _lossy_at(1.0, 'lossy_beta1')


@alpha_range(0, 1)
def typical(q, p, q_raw, p_raw, alpha):
  """As token_v1 with A = {v: p(v) > min(eps, sqrt(eps) exp(-H(p)))}.

  Eps = 1 - alpha, alpha in [0, 1]; Medusa's default of eps = 0.09 is
  alpha = 0.91. Strict for no alpha in general; at temperature 0 strict for
  all, since A is then the verifier's choice. Source: Cai et al. 2024,
  "Medusa", section 2.3.1, in token form.
  """
  del q_raw, p_raw
  eps = 1 - _over(alpha)
  entropy = -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(
    -1, keepdims=True
  )
  return _token(p > jnp.minimum(eps, jnp.sqrt(eps) * jnp.exp(-entropy)), q, p)


@alpha_range(0, math.inf)
def bild(q, p, q_raw, p_raw, alpha):
  """As token_v1 with A = {v: -log p_raw(v) <= alpha}: BiLD*.

  Alpha: cross-entropy in nats that the verifier may have on a drafted token,
  0 or more; the drafter alone as it grows; strict for none in general.
  Source: Kim et al. 2023, in the paper's sampling; `deferral.bild` has theirs.
  """
  del q_raw
  return _token(p_raw >= jnp.exp(-_over(alpha)), q, p)


# Controls: the verifier's distribution is truncated first, then followed
# losslessly. A larger set of tokens is nearer to strict.


@alpha_range(0, 1, open_low=True)
def top_p(q, p, q_raw, p_raw, alpha):
  """Pi = p on its fewest most probable tokens of mass alpha, normalised.

  Alpha in (0, 1]; strict at 1. Source: Holtzman et al. 2020.
  """
  del q, q_raw, p_raw
  return distributions.nucleus(*_spread(p, alpha))


@alpha_range(1, math.inf)
def top_k(q, p, q_raw, p_raw, alpha):
  """Pi = p on its alpha most probable tokens, ties included, normalised.

  Alpha: a number of tokens, 1 or more; strict at V. Source: Fan et al. 2018.
  """
  del q, q_raw, p_raw
  return distributions.most_probable(*_spread(p, alpha))


@alpha_range(0, 1)
def min_p(q, p, q_raw, p_raw, alpha):
  """Pi = p where it is at least alpha max p, normalised.

  Alpha in [0, 1]; strict at 0. Source: Nguyen et al. 2025.
  """
  del q, q_raw, p_raw
  return _normalise(jnp.where(p >= _over(alpha) * _top(p), p, 0))


RULES = {
  'strict': strict,
  'drafter': drafter,
  'chow': chow,
  'diff': diff,
  'opt': opt,
  'token_v1': token_v1,
  'token_v2': token_v2,
  'token_v3': token_v3,
  'lossy': lossy,
  'lossy_beta1': lossy_beta1,
  'lossy_beta_half': _lossy_at(0.5, 'lossy_beta_half'),
  'lossy_beta2': _lossy_at(2.0, 'lossy_beta2'),
  'typical': typical,
  'bild': bild,
  'top_p': top_p,
  'top_k': top_k,
  'min_p': min_p,
}


def get(name):
  """The rule of that name, or one line that lists them all."""
  if name not in RULES:
    raise ValueError(f'unknown rule {name!r}; known: {", ".join(RULES)}')
  return RULES[name]


def check_alpha(rule, alpha):
  """Raises ValueError unless each value of `alpha` is in the rule's range."""
  if rule.alpha_range is None:
    return
  low, high, open_low, open_high = rule.alpha_range
  for a in alpha:
    above = a > low if open_low else a >= low
    below = a < high if open_high else a <= high
    if not (above and below and math.isfinite(a)):
      bounds = f'{"[("[open_low]}{low:g}, {high:g}{"])"[open_high]}'
      raise ValueError(
        f'alpha={a:g} is out of range for {rule.__name__}: it must be a '
        f'finite number in {bounds}'
      )


def _keep(keep, q, p):
  return jnp.where(keep[..., None], q, p)


def _token(in_a, q, p):
  kept = jnp.where(in_a, q, 0)
  return kept + p * jnp.maximum(1 - kept.sum(-1, keepdims=True), 0)


def _top(p):
  return p.max(-1, keepdims=True)


def _over(alpha):
  return jnp.asarray(alpha)[..., None]


def _spread(p, alpha):
  """P broadcast against alpha, and alpha over the last axis."""
  alpha = _over(alpha)
  shape = jnp.broadcast_shapes(p.shape[:-1], alpha.shape[:-1])
  return jnp.broadcast_to(p, (*shape, p.shape[-1])), alpha


def _normalise(pi):
  return pi / pi.sum(-1, keepdims=True)
