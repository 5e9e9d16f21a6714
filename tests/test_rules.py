import math

import jax
import numpy as np
import pytest

from speccascade import rules

pytestmark = pytest.mark.usefixtures('float64')


# Raw and sampled distributions differ, so that a rule that takes one for the
# other is wrong in some row.
Q_RAW = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
P_RAW = np.array([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
Q = np.array([[0.8, 0.2, 0.0], [1.0, 0.0, 0.0], [0.1, 0.2, 0.7]])
P = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])

# rule: alpha of each row, pi of each row, by hand.
BY_HAND = {
  'strict': ([0, 0, 0], P),
  'drafter': ([0, 0, 0], Q),
  # max q_raw .6 < .7; .5 >= .4; .5 >= .5.
  'chow': ([0.3, 0.6, 0.5], [P[0], Q[1], Q[2]]),
  # .6 < .5 + .2; .5 >= .8 - .4; .5 < .7 - .1.
  'diff': ([-0.2, 0.4, 0.1], [P[0], Q[1], P[2]]),
  # D_TV = .2, 1, .8: .6 < .5 + .2; .5 >= .8 - .4; .5 < .7 - .16.
  'opt': ([-1, 0.4, 0.2], [P[0], Q[1], P[2]]),
  # q_raw >= .35: {0}; >= .45: {0}; >= .6: {}.
  'token_v1': ([0.15, 0.35, 0.1], [[0.92, 0.08, 0], Q[1], P[2]]),
  # p_raw >= .35: {0, 1}; >= .6: {1}; >= .15: {0, 1}.
  'token_v2': ([0.15, 0.2, 0.55], [Q[0], P[1], [0.73, 0.27, 0]]),
  # p_raw >= .45: {0}; >= .08: all; >= .14: {0, 1}.
  'token_v3': ([0.1, 0.9, 0.8], [[0.92, 0.08, 0], Q[1], [0.73, 0.27, 0]]),
  # min{q, p / .8} = (.75, .2, 0) lacks .05; nothing of q is in p's support;
  # min{q, 2 p} = (.1, .2, 0) lacks .7.
  'lossy': ([0.2, 0.3, 0.5], [[0.75, 0.25, 0], P[1], [0.8, 0.2, 0]]),
  'lossy_beta1': ([0.2, 0.3, 0.5], [[0.75, 0.25, 0], P[1], [0.8, 0.2, 0]]),
  # 2 p - q = (.4, .6, -), (-, 2, -), (1.7, 0, -).
  'lossy_beta_half': ([0.2, 0.3, 0.5], [[0.77, 0.23, 0], P[1], [0.8, 0.2, 0]]),
  # p / 2 - q = (-, 0, -): shared as p; (-, .5, -), (.35, -, -).
  'lossy_beta2': ([0.2, 0.3, 0.5], [[0.78, 0.22, 0], P[1], [0.8, 0.2, 0]]),
  # exp(-H) = .510, 1, .722: p > min(.64, .408): {0}; p > .5: {1};
  # p > .01: {0, 1}.
  'typical': ([0.36, 0.5, 0.99], [[0.92, 0.08, 0], P[1], [0.73, 0.27, 0]]),
  # p_raw >= .449: {0}; >= .607: {1}; >= .135: {0, 1}.
  'bild': ([0.8, 0.5, 2.0], [[0.92, 0.08, 0], P[1], [0.73, 0.27, 0]]),
  'top_p': ([0.5, 0.9, 0.95], [[1, 0, 0], P[1], P[2]]),
  'top_k': ([1, 2, 2], [[1, 0, 0], P[1], P[2]]),
  # p >= .42, .5, .09.
  'min_p': ([0.7, 0.5, 0.1], [[1, 0, 0], P[1], P[2]]),
}


def _softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def _one_hot(x):
  return np.eye(x.shape[-1])[x.argmax(-1)]


def _cases(rows=200, V=7, seed=0):
  """(q, p, q_raw, p_raw), rows of all kinds that sampling makes."""
  rng = np.random.default_rng(seed)
  q_raw, p_raw = (_softmax(3 * rng.normal(size=(rows, V))) for _ in 'qp')

  def sparse(x):  # As top-k and top-p leave it; some one token alone.
    kept = x >= np.sort(x)[np.arange(rows), rng.integers(0, V, rows)][:, None]
    return np.where(kept, x, 0) / np.where(kept, x, 0).sum(-1, keepdims=True)

  kinds = [
    (q_raw, p_raw),
    (_softmax(np.log(q_raw) / 0.3), _softmax(np.log(p_raw) / 0.3)),
    (sparse(q_raw), sparse(p_raw)),
    (_one_hot(q_raw), _one_hot(p_raw)),
    (_one_hot(q_raw), sparse(p_raw)),
    (p_raw, p_raw),
  ]
  q, p = (np.concatenate(x) for x in zip(*kinds, strict=True))
  return q, p, np.tile(q_raw, (6, 1)), np.tile(p_raw, (6, 1))


def _alphas(name, n=9):
  """Values over the rule's range, an open end left out."""
  span = rules.RULES[name].alpha_range
  if span is None:
    return np.zeros(1)
  low, high, open_low, open_high = span
  low, high = max(low, -2), min(high, 2)
  return np.linspace(low + 1e-3 * open_low, high - 1e-3 * open_high, n)


_COMPILED = {name: jax.jit(rule) for name, rule in rules.RULES.items()}


def _apply(name, case, alpha):
  alpha = np.broadcast_to(np.asarray(alpha, float), case[0].shape[:-1])
  return np.asarray(_COMPILED[name](*case, alpha))


def _rejection(pi, q):
  return np.maximum(pi - q, 0).sum(-1)


def test_every_rule_is_tested_by_hand():
  assert set(BY_HAND) == set(rules.RULES)


@pytest.mark.parametrize('name', BY_HAND)
def test_values_by_hand(name):
  alpha, expected = BY_HAND[name]
  pi = _apply(name, (Q, P, Q_RAW, P_RAW), alpha)
  np.testing.assert_allclose(pi, np.array(expected), rtol=0, atol=1e-15)


def test_the_two_lossy_forms_share_the_missing_mass_differently():
  q, p = np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.35, 0.45]])
  # min{q, p / .8} = (.25, .3, .2) lacks .25. 1 / beta = .75 / .8 lifts two
  # tokens; with beta = 1 the lack is shared 1 : 5 by p - q = (-, .05, .25).
  lossy = _apply('lossy', (q, p, q, p), 0.2)
  beta1 = _apply('lossy_beta1', (q, p, q, p), 0.2)
  np.testing.assert_allclose(lossy, [[0.25, 0.328125, 0.421875]], atol=1e-15)
  np.testing.assert_allclose(
    beta1, [[0.25, 0.3 + 0.25 / 6, 0.2 + 1.25 / 6]], atol=1e-15
  )


@pytest.mark.parametrize('name', BY_HAND)
def test_alpha_broadcasts_over_leading_axes(name):
  alpha, expected = BY_HAND[name]
  case = [np.stack([x, x[::-1]]) for x in (Q, P, Q_RAW, P_RAW)]
  rule = _COMPILED[name]
  both = rule(*case, np.array([alpha, alpha[::-1]], float))
  np.testing.assert_allclose(both[0], np.array(expected), atol=1e-15)
  np.testing.assert_allclose(both[1], np.array(expected)[::-1], atol=1e-15)
  # One alpha a row of a block, as the decoder has it.
  rows = rule(*(x.swapaxes(0, 1) for x in case), np.array(alpha)[:, None])
  np.testing.assert_allclose(rows[:, 0], np.array(expected), atol=1e-15)
  for i in range(3):  # The reversed copy under alphas in the first order.
    alone = rule(*(x[1, i] for x in case), np.asarray(alpha[i], float))
    np.testing.assert_allclose(rows[i, 1], alone, atol=1e-15)


@pytest.mark.parametrize('name', rules.RULES)
def test_pi_is_a_distribution(name):
  case = _cases()
  for alpha in _alphas(name):
    pi = _apply(name, case, alpha)
    assert pi.shape == case[0].shape
    assert (pi >= 0).all()
    np.testing.assert_allclose(pi.sum(-1), 1, rtol=0, atol=1e-13)
    # Never a token that neither model would sample.
    assert (pi[(case[0] == 0) & (case[1] == 0)] == 0).all()


@pytest.mark.parametrize(
  ('name', 'alpha'),
  [
    ('strict', 0),
    ('chow', -1e-3),
    ('diff', -1),
    ('opt', -1e9),
    ('token_v1', -1),
    ('token_v2', -1e-3),
    ('token_v3', -1e-3),
    ('lossy', 0),
    ('lossy_beta1', 0),
    ('top_p', 1),
    ('top_k', 7),
    ('min_p', 0),
  ],
)
def test_strict_where_the_docstring_says(name, alpha):
  case = _cases()
  pi = _apply(name, case, alpha)
  np.testing.assert_allclose(pi, case[1], rtol=0, atol=1e-14)


@pytest.mark.parametrize('alpha', np.linspace(0, 1, 5))
def test_typical_is_strict_at_temperature_0(alpha):
  _, _, q_raw, p_raw = _cases()
  p = _one_hot(p_raw)
  for q in (q_raw, _one_hot(q_raw)):
    np.testing.assert_allclose(
      _apply('typical', (q, p, q_raw, p_raw), alpha), p, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
  'name', ['drafter', 'chow', 'diff', 'token_v1', 'token_v2', 'token_v3']
)
def test_the_drafter_at_alpha_1(name):
  case = _cases()
  np.testing.assert_allclose(
    _apply(name, case, 1.0), case[0], rtol=0, atol=1e-14
  )


@pytest.mark.parametrize(
  'name', ['diff', 'opt', 'token_v1', 'token_v2', 'token_v3']
)
def test_alpha_0_is_not_strict(name):
  case = _cases()
  assert np.abs(_apply(name, case, 0.0) - case[1]).max() > 0.1


def test_opt_at_0_is_diff():
  case = _cases()
  np.testing.assert_array_equal(
    _apply('opt', case, 0.0), _apply('diff', case, 0.0)
  )


@pytest.mark.parametrize('alpha', [0, 0.05, 0.3, 0.7, 0.99])
def test_lossy_solves_for_beta(alpha):
  q, p, q_raw, p_raw = _cases()
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
    _apply('lossy', (q, p, q_raw, p_raw), alpha),
    np.maximum(low, above[:, None] * p),
    rtol=0,
    atol=1e-13,
  )


@pytest.mark.parametrize('alpha', [0, 0.3, 0.9])
@pytest.mark.parametrize('name', ['lossy', 'lossy_beta1'])
def test_lossy_rejects_the_mass_past_the_bound(name, alpha):
  case = _cases()
  q, p, *_ = case
  np.testing.assert_allclose(
    _rejection(_apply(name, case, alpha), q),
    np.maximum(q - p / (1 - alpha), 0).sum(-1),
    rtol=0,
    atol=1e-13,
  )


@pytest.mark.parametrize(
  'name', ['chow', 'diff', 'opt', 'lossy', 'lossy_beta1']
)
def test_a_larger_alpha_never_rejects_more(name):
  case = _cases()
  rejected = [
    _rejection(_apply(name, case, a), case[0]) for a in _alphas(name, 21)
  ]
  assert (np.diff(rejected, axis=0) <= 1e-13).all()
  assert np.ptp([r.mean() for r in rejected]) > 0.1


@pytest.mark.parametrize('name', ['token_v1', 'token_v2', 'token_v3'])
def test_a_larger_alpha_keeps_more_drafts(name):
  """The kept set grows, and with it the mass that cannot be rejected.

  The rejection rate itself may rise: see the next test.
  """
  q, p, q_raw, p_raw = _cases()
  # Against a p that lies elsewhere, pi on q's half of the vocabulary is the
  # kept part of q alone.
  q_wide = np.concatenate([q, 0 * q], -1)
  p_wide = np.concatenate([0 * p, p], -1)
  case = (q_wide, p_wide) + tuple(np.tile(x, 2) for x in (q_raw, p_raw))
  kept = [_apply(name, case, a)[:, : q.shape[-1]] for a in _alphas(name, 21)]
  assert (np.diff(kept, axis=0) >= 0).all()
  for k in kept:
    assert ((k == 0) | (k == q)).all()
  assert (kept[0] == 0).all()
  assert (kept[-1] == q).all()


def test_token_rules_may_reject_more_at_a_larger_alpha():
  q, p = np.array([[0.51, 0.49, 0.0]]), np.array([[0.41, 0.39, 0.2]])
  for name in ('token_v1', 'token_v2', 'token_v3'):
    strict = _apply(name, (q, p, q, p), -1)
    np.testing.assert_allclose(_rejection(strict, q), 0.2, atol=1e-15)
    # A = {0}: pi = (.51 + .49 * .41, .49 * .39, .49 * .2).
    one = _apply(name, (q, p, q, p), -0.09 if name == 'token_v1' else 0)
    np.testing.assert_allclose(_rejection(one, q), 0.49 * 0.61, atol=1e-15)


@pytest.mark.parametrize('name', rules.RULES)
def test_alpha_is_checked(name):
  rule = rules.RULES[name]
  if rule.alpha_range is None:
    rules.check_alpha(rule, [math.nan, -7.0])  # Ignored, so never wrong.
    return
  rules.check_alpha(rule, _alphas(name).tolist())
  low, high, open_low, open_high = rule.alpha_range
  wrong = [math.nan, math.inf, -math.inf]
  if math.isfinite(low):
    wrong += [low - 1e-6] + [low] * open_low
  if math.isfinite(high):
    wrong += [high + 1e-6] + [high] * open_high
  bounds = f'{"(" if open_low else "["}{low:g}, {high:g}'
  for alpha in wrong:
    with pytest.raises(ValueError, match=f'out of range for {name}: ') as e:
      rules.check_alpha(rule, [alpha])
    assert f'{bounds}{")" if open_high else "]"}' in str(e.value)
    assert '\n' not in str(e.value)


def test_unknown_rule():
  assert rules.get('token_v3') is rules.token_v3
  with pytest.raises(ValueError, match="unknown rule 'token_v4'.*token_v3"):
    rules.get('token_v4')


@pytest.mark.parametrize('name', rules.RULES)
def test_names_and_docstrings(name):
  rule = rules.RULES[name]
  assert rule.__name__ == name
  assert 'pi' in rule.__doc__.lower() or 'As token_v1' in rule.__doc__
