"""What the rules are, each by hand and by its own properties."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import rules
from speccascade.rules import base
from tests.rules import examples, rule_cases

pytestmark = pytest.mark.usefixtures('float64')


# Raw and sampled distributions differ, so that a rule that takes one for the
# other is wrong in some row.
Q_RAW = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
P_RAW = np.array([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
Q = np.array([[0.8, 0.2, 0.0], [1.0, 0.0, 0.0], [0.1, 0.2, 0.7]])
P = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])

# (rule, the parameters of each row, pi of each row), by hand.
BY_HAND = [
  ('strict', [], P),
  ('drafter', [], Q),
  # max q_raw .6 < .7; .5 >= .4; .5 >= .5.
  ('chow', [[0.3, 0.6, 0.5]], [P[0], Q[1], Q[2]]),
  # .6 < .5 + .2; .5 >= .8 - .4; .5 < .7 - .1.
  ('diff', [[-0.2, 0.4, 0.1]], [P[0], Q[1], P[2]]),
  # D_TV = .2, 1, .8: .6 < .5 + .2; .5 >= .8 - .4; .5 < .7 - .16.
  ('opt', [[-1, 0.4, 0.2]], [P[0], Q[1], P[2]]),
  # q_raw >= .35: {0}; >= .45: {0}; >= .6: {}.
  ('token_v1', [[0.15, 0.35, 0.1]], [[0.92, 0.08, 0], Q[1], P[2]]),
  # p_raw >= .35: {0, 1}; >= .6: {1}; >= .15: {0, 1}.
  ('token_v2', [[0.15, 0.2, 0.55]], [Q[0], P[1], [0.73, 0.27, 0]]),
  # p_raw >= .45: {0}; >= .08: all; >= .14: {0, 1}.
  ('token_v3', [[0.1, 0.9, 0.8]], [[0.92, 0.08, 0], Q[1], [0.73, 0.27, 0]]),
  # min{q, p / .8} = (.75, .2, 0) lacks .05; nothing of q is in p's support;
  # min{q, 2 p} = (.1, .2, 0) lacks .7.
  ('lossy', [[0.2, 0.3, 0.5]], [[0.75, 0.25, 0], P[1], [0.8, 0.2, 0]]),
  (
    'lossy_beta',
    [[0.2, 0.3, 0.5], [1] * 3],
    [[0.75, 0.25, 0], P[1], [0.8, 0.2, 0]],
  ),
  # 2 p - q = (.4, .6, -), (-, 2, -), (1.7, 0, -).
  (
    'lossy_beta',
    [[0.2, 0.3, 0.5], [0.5] * 3],
    [[0.77, 0.23, 0], P[1], [0.8, 0.2, 0]],
  ),
  # p / 2 - q = (-, 0, -): shared as p; (-, .5, -), (.35, -, -).
  (
    'lossy_beta',
    [[0.2, 0.3, 0.5], [2] * 3],
    [[0.78, 0.22, 0], P[1], [0.8, 0.2, 0]],
  ),
  # exp(-H) = .510, 1, .722: p > min(.64, .408): {0}; p > .5: {1};
  # p > .01: {0, 1}.
  ('typical', [[0.36, 0.5, 0.99]], [[0.92, 0.08, 0], P[1], [0.73, 0.27, 0]]),
  # p_raw >= .449: {0}; >= .607: {1}; >= .135: {0, 1}.
  ('bild', [[0.8, 0.5, 2.0]], [[0.92, 0.08, 0], P[1], [0.73, 0.27, 0]]),
  ('top_p', [[0.5, 0.9, 0.95]], [[1, 0, 0], P[1], P[2]]),
  ('top_k', [[1, 2, 2]], [[1, 0, 0], P[1], P[2]]),
  # p >= .42, .5, .09.
  ('min_p', [[0.7, 0.5, 0.1]], [[1, 0, 0], P[1], P[2]]),
  # JS(raw) = .00586, .10675, .15136.
  ('fsd_js', [[0.005, 0.11, 0.15]], [P[0], Q[1], P[2]]),
  # KL(q_raw, p_raw) = .02309, .52746, .67581.
  ('fsd_kl_qp', [[0.0235, 0.45, 0.65]], [Q[0], P[1], P[2]]),
  # KL(p_raw, q_raw) = .02391, .39358, .63490.
  ('fsd_kl_pq', [[0.0235, 0.45, 0.65]], [P[0], Q[1], Q[2]]),
  # D_TV(raw) = .1, .4, .5.
  ('fsd_tv', [[0.05, 0.41, 0.49]], [P[0], Q[1], P[2]]),
  ('mixture', [[0.25, 0.5, 1]], [[0.65, 0.35, 0], [0.5, 0.5, 0], Q[2]]),
  # {0, 1}: p^2 / q = 5/12, 8/15; all: p; {0, 1}: p^3 / q^2 = 343/40, 4/45.
  (
    'contrastive',
    [[0.5, 0.1, 0.2], [1, 0, 2]],
    [[25 / 57, 32 / 57, 0], P_RAW[1], [3087 / 3119, 32 / 3119, 0]],
  ),
]


@pytest.mark.parametrize(('name', 'values', 'expected'), BY_HAND)
def test_values_by_hand(name, values, expected):
  pi = rule_cases.apply(name, (Q, P, Q_RAW, P_RAW), *values)
  np.testing.assert_allclose(pi, np.array(expected), rtol=0, atol=1e-15)


def test_the_two_lossy_forms_share_the_missing_mass_differently():
  q, p = np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.35, 0.45]])
  # min{q, p / .8} = (.25, .3, .2) lacks .25. 1 / beta = .75 / .8 lifts two
  # tokens; with beta = 1 the lack is shared 1 : 5 by p - q = (-, .05, .25).
  lossy = rule_cases.apply('lossy', (q, p, q, p), 0.2)
  beta1 = rule_cases.apply('lossy_beta', (q, p, q, p), 0.2, 1)
  np.testing.assert_allclose(lossy, [[0.25, 0.328125, 0.421875]], atol=1e-15)
  np.testing.assert_allclose(
    beta1, [[0.25, 0.3 + 0.25 / 6, 0.2 + 1.25 / 6]], atol=1e-15
  )


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('strict', ()),
    ('chow', (-1e-3,)),
    ('diff', (-1,)),
    ('opt', (-1e9,)),
    ('token_v1', (-1,)),
    ('token_v2', (-1e-3,)),
    ('token_v3', (-1e-3,)),
    ('lossy', (0,)),
    ('lossy_beta', (0, 1)),
    ('fsd_js', (0,)),
    ('fsd_kl_qp', (0,)),
    ('fsd_kl_pq', (0,)),
    ('fsd_tv', (0,)),
    ('mixture', (0,)),
    ('top_p', (1,)),
    ('top_k', (7,)),
    ('min_p', (0,)),
  ],
)
def test_strict_where_the_docstring_says(name, values):
  case = rule_cases.cases()
  pi = rule_cases.apply(name, case, *values)
  np.testing.assert_allclose(pi, case[1], rtol=0, atol=1e-14)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('token_v2', (0,)),
    ('token_v3', (0,)),
    ('min_p', (1,)),
    ('contrastive', (1, 0.5)),
  ],
)
def test_a_maximum_counts_as_one_however_a_program_rounds_it(
  monkeypatch, name, values, dtype
):
  """XLA may compute p anew beside its maximum, a rounding or two apart."""
  case = [x.astype(dtype) for x in rule_cases.cases()]
  values = [np.full(len(case[0]), x, dtype) for x in values]
  want = rules.RULES[name](*case, *values)
  assert np.isfinite(want).all()
  top, up = base.top, lambda p: jnp.nextafter(p, 2)
  monkeypatch.setattr(base, 'top', lambda p: up(up(top(p))))
  pi = rules.RULES[name](*case, *values)
  np.testing.assert_allclose(pi, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize('alpha', np.linspace(0, 1, 5))
def test_typical_is_strict_at_temperature_0(alpha):
  _, _, q_raw, p_raw = rule_cases.cases()
  p = rule_cases.one_hot(p_raw)
  for q in (q_raw, rule_cases.one_hot(q_raw)):
    np.testing.assert_allclose(
      rule_cases.apply('typical', (q, p, q_raw, p_raw), alpha),
      p,
      rtol=0,
      atol=1e-14,
    )


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('drafter', ()),
    ('chow', (1,)),
    ('diff', (1,)),
    ('token_v1', (1,)),
    ('token_v2', (1,)),
    ('token_v3', (1,)),
    ('mixture', (1,)),
    ('fsd_js', (math.log(2),)),
    ('fsd_kl_qp', (1e3,)),
    ('fsd_kl_pq', (1e3,)),
    ('fsd_tv', (1,)),
  ],
)
def test_the_drafter_where_the_docstring_says(name, values):
  case = rule_cases.cases()
  pi = rule_cases.apply(name, case, *values)
  np.testing.assert_allclose(pi, case[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
  'name', ['diff', 'opt', 'token_v1', 'token_v2', 'token_v3']
)
def test_alpha_0_is_not_strict(name):
  case = rule_cases.cases()
  assert np.abs(rule_cases.apply(name, case, 0.0) - case[1]).max() > 0.1


def test_opt_at_0_is_diff():
  case = rule_cases.cases()
  np.testing.assert_array_equal(
    rule_cases.apply('opt', case, 0.0), rule_cases.apply('diff', case, 0.0)
  )


@pytest.mark.parametrize('alpha', [0, 0.05, 0.3, 0.7, 0.99])
def test_lossy_solves_for_beta(alpha):
  q, p, q_raw, p_raw = rule_cases.cases()
  low = np.minimum(q, p / (1 - alpha))

  def total(s):
    return np.maximum(low, s[:, None] * p).sum(-1)

  # s = 1 / beta by bisection; the total never falls in s.
  below, above = np.zeros(len(q)), np.ones(len(q))
  for _ in range(200):
    middle = (below + above) / 2
    enough = total(middle) >= 1
    below = np.where(enough, below, middle)
    above = np.where(enough, middle, above)
  np.testing.assert_allclose(
    rule_cases.apply('lossy', (q, p, q_raw, p_raw), alpha),
    np.maximum(low, above[:, None] * p),
    rtol=0,
    atol=1e-13,
  )


@pytest.mark.parametrize('alpha', [0, 0.3, 0.9])
@pytest.mark.parametrize(
  ('name', 'beta'), [('lossy', ()), ('lossy_beta', (1,))]
)
def test_lossy_rejects_the_mass_past_the_bound(name, beta, alpha):
  case = rule_cases.cases()
  q, p, *_ = case
  np.testing.assert_allclose(
    rule_cases.rejection(rule_cases.apply(name, case, alpha, *beta), q),
    np.maximum(q - p / (1 - alpha), 0).sum(-1),
    rtol=0,
    atol=1e-13,
  )


@pytest.mark.parametrize(
  ('name', 'others'),
  [
    ('chow', ()),
    ('diff', ()),
    ('opt', ()),
    ('lossy', ()),
    ('lossy_beta', (1,)),
    ('fsd_js', ()),
    ('fsd_kl_qp', ()),
    ('fsd_kl_pq', ()),
    ('fsd_tv', ()),
    ('mixture', ()),
  ],
)
def test_a_larger_value_never_rejects_more(name, others):
  case = rule_cases.cases()
  rejected = [
    rule_cases.rejection(rule_cases.apply(name, case, x, *others), case[0])
    for x in examples.over(rule_cases.parameters(name)[0], 21)
  ]
  assert (np.diff(rejected, axis=0) <= 1e-13).all()
  assert np.ptp([r.mean() for r in rejected]) > 0.1


@pytest.mark.parametrize('name', ['token_v1', 'token_v2', 'token_v3'])
def test_a_larger_alpha_keeps_more_drafts(name):
  """The kept set grows, and with it the mass that cannot be rejected.

  The rejection rate itself may rise: see the next test.
  """
  q, p, q_raw, p_raw = rule_cases.cases()
  # Against a p that lies elsewhere, pi on q's half of the vocabulary is the
  # kept part of q alone.
  q_wide = np.concatenate([q, 0 * q], -1)
  p_wide = np.concatenate([0 * p, p], -1)
  case = (q_wide, p_wide) + tuple(np.tile(x, 2) for x in (q_raw, p_raw))
  over = examples.over(rule_cases.parameters(name)[0], 21)
  kept = [rule_cases.apply(name, case, a)[:, : q.shape[-1]] for a in over]
  assert (np.diff(kept, axis=0) >= 0).all()
  for k in kept:
    assert ((k == 0) | (k == q)).all()
  assert (kept[0] == 0).all()
  assert (kept[-1] == q).all()


def test_token_rules_may_reject_more_at_a_larger_alpha():
  q, p = np.array([[0.51, 0.49, 0.0]]), np.array([[0.41, 0.39, 0.2]])
  for name in ('token_v1', 'token_v2', 'token_v3'):
    strict = rule_cases.apply(name, (q, p, q, p), -1)
    np.testing.assert_allclose(rule_cases.rejection(strict, q), 0.2, atol=1e-15)
    # A = {0}: pi = (.51 + .49 * .41, .49 * .39, .49 * .2).
    one = rule_cases.apply(
      name, (q, p, q, p), -0.09 if name == 'token_v1' else 0
    )
    np.testing.assert_allclose(
      rule_cases.rejection(one, q), 0.49 * 0.61, atol=1e-15
    )


# --- Fuzzy speculative decoding, mixture and contrastive.


def test_divergences_where_a_model_has_no_mass():
  """KL is infinite where its second argument lacks what the first has."""
  one, half = np.array([[1.0, 0]]), np.array([[0.5, 0.5]])
  other = np.array([[0, 1.0]])
  js = (math.log(4 / 3) + (math.log(2 / 3) + math.log(2)) / 2) / 2
  # D(q, p) for q = one and p = half, each kept from there on.
  for name, divergence in (
    ('fsd_kl_qp', math.log(2)),
    ('fsd_js', js),
    ('fsd_tv', 0.5),
  ):
    for tau, kept in ((divergence - 1e-12, False), (divergence + 1e-12, True)):
      pi = rule_cases.apply(name, (one, other, one, half), tau)
      np.testing.assert_array_equal(pi, one if kept else other)
  pi = rule_cases.apply('fsd_kl_pq', (one, other, one, half), 1e300)
  np.testing.assert_array_equal(pi, other)
  pi = rule_cases.apply('fsd_kl_qp', (half, other, half, one), 1e300)
  np.testing.assert_array_equal(pi, other)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('name', ['fsd_js', 'fsd_tv'])
def test_the_largest_tau_keeps_every_draft(name, dtype):
  """Also where the models share no token, and sums are rounded up."""
  rng = np.random.default_rng(0)
  halves = rng.dirichlet(np.ones(4), (2, 2000)).astype(dtype)
  halves /= halves.sum(-1, keepdims=True)
  q, p = (
    np.concatenate(x, -1)
    for x in ((halves[0], 0 * halves[0]), (0 * halves[1], halves[1]))
  )
  tau = np.full(len(q), rule_cases.parameters(name)[0].high, dtype)
  np.testing.assert_array_equal(rule_cases.COMPILED[name](q, p, q, p, tau), q)


@pytest.mark.parametrize('alpha', [0, 0.2, 0.35, 0.9, 1])
def test_mixture_is_rejected_at_its_share_of_d_tv(alpha):
  case = rule_cases.cases()
  q, p, *_ = case
  np.testing.assert_allclose(
    rule_cases.rejection(rule_cases.apply('mixture', case, alpha), q),
    (1 - alpha) * rule_cases.rejection(p, q),
    rtol=0,
    atol=1e-15,
  )


@pytest.mark.parametrize('alpha', [0.05, 0.3, 1])
def test_contrastive_at_beta_0_is_min_p_of_p_raw(alpha):
  case = rule_cases.cases()
  raw = (case[2], case[3], case[2], case[3])
  np.testing.assert_allclose(
    rule_cases.apply('contrastive', case, alpha, 0.0),
    rule_cases.apply('min_p', raw, alpha),
    rtol=0,
    atol=1e-14,
  )


def test_contrastive_is_whole_where_the_drafter_has_no_mass():
  """A token that the drafter rules out is preferred; none becomes NaN."""
  q, p = np.array([[1.0, 0, 0]]), np.array([[0.5, 0.4, 0.1]])
  for dtype in (np.float32, np.float64):
    case = [x.astype(dtype) for x in (q, p, q, p)]
    for beta, expected in ((0.0, [[5 / 9, 4 / 9, 0]]), (2.0, [[0, 1, 0]])):
      values = np.full(1, 0.5, dtype), np.full(1, beta, dtype)
      pi = rule_cases.COMPILED['contrastive'](*case, *values)
      np.testing.assert_allclose(pi, expected, rtol=0, atol=1e-6)
