"""The law of what is drawn, in float32, at the vocabulary of a real model.

A float32 uniform is one of 2^23 multiples of 2^-23. `draws.invert` and
`draws.accepts` are monotone in theirs, so the number of grid points that fall
to each outcome is found by bisection, and laws follow exactly: nothing is
sampled.

Letters: V vocabulary, K blocks, W words of a block.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import rules
from speccascade.decoding import defer
from speccascade.decoding import draft as draft_lib
from speccascade.methods import ratio
from speccascade.sampling import draws, keys, probabilities

V, GRID = 256_000, 2**23
BITS = 24  # Halvings that tell 0..GRID apart.

# What two uniforms of 23 bits leave: K and W boundaries, each off by half a
# grid step on average, 2^-24 (K + W) in all, and as much again in rounding.
TOLERANCE = 1e-4

pytestmark = pytest.mark.usefixtures('optimised')


def _zipf(exponent, order=None):
  weight = np.arange(1, V + 1, dtype=float) ** -exponent
  weight = (weight / weight.sum()).astype(np.float32)
  return weight if order is None else weight[order]


def _shuffled(seed):
  return np.random.default_rng(seed).permutation(V)


WEIGHTS = {
  'zipf 1.5': lambda: _zipf(1.5),
  'zipf 1 shuffled': lambda: _zipf(1.0, _shuffled(0)),
  'uniform': lambda: np.full(V, 1 / V, np.float32),
}


@jax.jit
def _shares(weight):
  """The share of the grid that `invert` gives each index of weights [..., W].

  For each index, the first grid point that is given a later one.
  """
  W = weight.shape[-1]
  rows = weight.reshape(-1, W)

  def of_row(row_W):
    index_W = jnp.arange(W)

    def halve(_, bounds):
      low_W, high_W = bounds  # Points up to low are given index or less.
      middle_W = (low_W + high_W) // 2
      u_W = middle_W.astype(jnp.float32) / GRID
      given_W = draws.invert(jnp.broadcast_to(row_W, (W, W)), u_W)
      stays = given_W <= index_W
      return jnp.where(stays, middle_W, low_W), jnp.where(
        stays, high_W, middle_W
      )

    start = jnp.full(W, -1), jnp.full(W, GRID)
    _, first_W = jax.lax.fori_loop(0, BITS, halve, start)
    return jnp.diff(first_W, prepend=0)

  counts = jax.lax.map(of_row, rows)
  return counts.reshape(weight.shape).astype(jnp.float32) / GRID


def _both(weight_V):
  """The shares of blocks, and of the words of each, float64."""
  blocks_KxW = draws.split(jnp.asarray(weight_V))
  share_K, share_KxW = _shares(blocks_KxW.sum(-1)), _shares(blocks_KxW)
  return np.asarray(share_K, float), np.asarray(share_KxW, float)


def _law(shares):
  """P(draw = v) over both grids, float64."""
  share_K, share_KxW = shares
  return (share_K[:, None] * share_KxW).ravel()[:V]


def _apart(law, weight):
  """Total variation from weights that are normalised here."""
  weight = np.asarray(weight, float)
  return np.abs(law - weight / weight.sum()).sum() / 2


@pytest.mark.parametrize(
  'name',
  [
    'zipf 1.5',
    *(
      pytest.param(name, marks=pytest.mark.thorough)
      for name in list(WEIGHTS)[1:]
    ),
  ],
)
def test_a_draw_follows_its_weights(name):
  weight = WEIGHTS[name]()
  law = _law(_both(weight))
  np.testing.assert_allclose(law.sum(), 1, rtol=0, atol=1e-9)
  assert _apart(law, weight) < TOLERANCE
  assert (law > 0).all()  # Every word can be drawn.


def _word(shares, u_Rx2):
  """The words of grid points, by the bounds that bisection found."""
  share_K, share_KxW = shares
  W = share_KxW.shape[1]
  bound_K, bound_KxW = share_K.cumsum(), share_KxW.cumsum(1)
  words = []
  for first, second in u_Rx2:
    block = np.searchsorted(bound_K, first, side='right')
    within = np.searchsorted(bound_KxW[block], second, side='right')
    words.append(block * W + within)
  return np.array(words)


def _grid(rows, columns, seed=0):
  points = np.random.default_rng(seed).integers(0, GRID, (rows, columns))
  return (points / GRID).astype(np.float32)


def test_draws_are_at_the_bounds_that_bisection_finds():
  weight, u_Rx2 = _zipf(1.0, _shuffled(1)), _grid(64, 2)
  drawn = jax.jit(jax.vmap(draws.draw, (None, 0)))(weight, u_Rx2)
  np.testing.assert_array_equal(drawn, _word(_both(weight), u_Rx2))


@jax.jit
def _kept(q, pi):
  """The share of the grid at which each word is accepted."""
  token = jnp.arange(V)

  def halve(_, bounds):
    low, high = bounds  # Words are accepted up to low.
    middle = (low + high) // 2
    kept = jax.vmap(draws.accepts, (0, 0, None, None))(
      token, middle.astype(jnp.float32) / GRID, pi, q
    )
    return jnp.where(kept, middle, low), jnp.where(kept, high, middle)

  start = jnp.full(V, -1), jnp.full(V, GRID)
  _, first = jax.lax.fori_loop(0, BITS, halve, start)
  return first.astype(jnp.float32) / GRID


def _logits(seed):
  """Of a model: Zipf in an order of its own, blurred; q and p are alike."""
  rng = np.random.default_rng(seed)
  common = np.log(_zipf(1.2, _shuffled(7)).astype(float))
  return (common + 0.5 * rng.normal(size=V)).astype(np.float32)


def _target(rule, values, q_logits, p_logits):
  """(q, p, q_raw, p_raw, pi), as decoding computes them, at temperature 0.8."""
  ones = jnp.ones(1, q_logits.dtype)
  sampling = probabilities.Sampling(0.8 * ones, ones)
  both = []
  for logits in (q_logits, p_logits):
    raw = probabilities.raw(logits[None, None])
    both.append((probabilities.sampled(logits[None, None], raw, sampling), raw))
  (q, q_raw), (p, p_raw) = both
  return q, p, q_raw, p_raw, rule(q, p, q_raw, p_raw, *values)


def test_an_iteration_follows_its_target():
  """Draft, accept, redraw: P(v) = q(v) a(v) + (1 - q.a) r(v)."""
  rule, values = rules.RULES['token_v3'], (0.5,)
  target = jax.jit(functools.partial(_target, rule, values))
  q, p, q_raw, p_raw, pi = target(_logits(1), _logits(2))
  assert pi.dtype == jnp.float32
  shares, kept = _both(q[0, 0]), np.asarray(_kept(q[0, 0], pi[0, 0]), float)
  drafted = _law(shares)
  residual = _both(draws.residual(pi[0, 0], q[0, 0]))
  rejected = 1 - (drafted * kept).sum()
  emitted = drafted * kept + rejected * _law(residual)
  with jax.enable_x64(True):
    *_, exact = target(_logits(1).astype(float), _logits(2).astype(float))
  assert 0.02 < rejected < 0.5
  assert _apart(emitted, exact[0, 0]) < TOLERANCE

  # And so does `defer`, at points of the grid.
  R = 8
  u_RxU = _grid(R, keys.U, seed=3)
  tile = lambda x: jnp.tile(x, (R, 1, 1))  # noqa: E731
  token_R = _word(shares, u_RxU[:, keys.DRAFT])
  outcome = jax.jit(ratio.Ratio(rule).defer)(
    draft_lib.Draft(
      jnp.asarray(token_R)[:, None],
      tile(q),
      tile(q_raw),
      jnp.ones(R, jnp.int32),
      jnp.ones((R, 1)),
      jnp.ones((R, 1), bool),
    ),
    defer.Verified(tile(p), tile(p_raw)),
    tuple(jnp.full(R, x) for x in values),
    jnp.asarray(u_RxU)[:, None],
  )
  keeps_R = u_RxU[:, keys.ACCEPT] < kept[token_R]
  redrawn_R = _word(residual, u_RxU[:, keys.RESIDUAL])
  np.testing.assert_array_equal(outcome.kept_B, keeps_R)
  np.testing.assert_array_equal(
    outcome.token_BxG[:, 0], np.where(keeps_R, token_R, redrawn_R)
  )
