"""The law of what a cascade of two tables emits, against exact sums.

Tolerances: for a multinomial of k cells Pearson's statistic has mean k - 1;
past k + 2 sqrt(20 k) + 40 it is with probability below e^-20 (Laurent and
Massart 2000). Rejections less their expected number are a martingale of
variance at most that number: five standard deviations are 6e-7.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import table_model

from speccascade import distributions, rules
from speccascade.decoding import cascade, results

pytestmark = pytest.mark.usefixtures('float64')

V, N, EOS, ROWS = 4, 3, 3, 20_000
PROMPT = (2, 1)
ALPHAS = {
  'strict': 0,
  'drafter': 0,
  'chow': 0.45,
  'diff': 0.05,
  'opt': 0.3,
  'token_v1': 0.25,
  'token_v2': 0.2,
  'token_v3': 0.5,
  'lossy': 0.3,
  'lossy_beta1': 0.3,
  'lossy_beta_half': 0.3,
  'lossy_beta2': 0.3,
  'typical': 0.8,
  'bild': 1.2,
  'top_p': 0.7,
  'top_k': 2,
  'min_p': 0.3,
}
MODEL = table_model.TableModel(V)
TABLES = table_model.table(V, 0), table_model.table(V, 1)


@functools.cache
def _decode(name, gamma, temperature, top_p):
  prompts = results.Prompts(
    np.tile(PROMPT, (ROWS, 1)), np.full(ROWS, 2), np.arange(ROWS)
  )
  ones = np.ones(ROWS)
  return jax.device_get(
    cascade.decode(
      cascade.Cascade(MODEL, MODEL, gamma, N, EOS),
      TABLES,
      prompts,
      distributions.Sampling(temperature * ones, top_p * ones),
      rules.RULES[name],
      ALPHAS[name] * ones,
      jax.random.key(7),
    )
  )


def _pi_and_q(name, temperature, top_p):
  """VxVxV tables of the target and of what is drafted, after two tokens."""
  return jax.device_get(_tables(name, temperature, top_p))


@functools.partial(jax.jit, static_argnums=0)
def _tables(name, temperature, top_p):
  sampling = distributions.Sampling(
    jnp.full(V, temperature), jnp.full(V, top_p)
  )
  q_raw, p_raw = (distributions.raw(t) for t in TABLES)
  q, p = (
    distributions.probabilities(t, raw, sampling)
    for t, raw in zip(TABLES, (q_raw, p_raw), strict=True)
  )
  pi = rules.RULES[name](q, p, q_raw, p_raw, np.full((V, V), ALPHAS[name]))
  return pi, q


def _sequences():
  """Every output: EOS ends it, or N tokens."""
  for s in itertools.product(range(V), repeat=N):
    n = s.index(EOS) + 1 if EOS in s else N
    if all(x == 0 for x in s[n:]):  # One of those alike up to EOS.
      yield s[:n]


@pytest.mark.parametrize('name', rules.RULES)
@pytest.mark.parametrize(
  ('gamma', 'temperature', 'top_p'), [(1, 1.0, 1.0), (1, 0.8, 0.9)]
)
def test_sequences_follow_pi(name, gamma, temperature, top_p):
  result = _decode(name, gamma, temperature, top_p)
  pi, q = _pi_and_q(name, temperature, top_p)
  seen = {}
  for tokens, n in zip(result.token_BxN, result.length_B, strict=True):
    key = tuple(tokens[:n].tolist())
    seen[key] = seen.get(key, 0) + 1
  statistic = cells = total = 0
  expected_rejections = 0
  for s in _sequences():
    share, divergence = 1, 0
    before = PROMPT
    for token in s:
      at = pi[before]
      divergence += np.maximum(at - q[before], 0).sum()
      share *= at[token]
      before = (before[1], token)
    total += share
    expected_rejections += ROWS * share * divergence
    count = seen.pop(s, 0)
    if share == 0:
      assert count == 0
      continue
    statistic += (count - ROWS * share) ** 2 / (ROWS * share)
    cells += 1
  assert not seen  # Nothing after EOS, nothing longer than N.
  np.testing.assert_allclose(total, 1, atol=1e-12)
  assert statistic < cells + 2 * np.sqrt(20 * cells) + 40

  rejected, divergence = result.counts.rejected_B, result.counts.divergence_B
  bound = 5 * np.sqrt(divergence.sum())
  assert abs((rejected - divergence).sum()) <= bound
  # The divergence is itself an exact sum over what was emitted: it varies by
  # sequence, at most N a row.
  assert (
    abs(divergence.sum() - expected_rejections)
    <= 5 * np.sqrt(N * max(expected_rejections, 1e-12)) + 1e-6
  )


@pytest.mark.parametrize('name', rules.RULES)
def test_the_first_token_is_rejected_at_d_tv(name):
  result = _decode(name, 1, 1.0, 1.0)
  pi, q = (x[PROMPT] for x in _pi_and_q(name, 1.0, 1.0))
  rate = np.maximum(pi - q, 0).sum()
  rejected = ~result.from_drafter_BxN[:, 0]
  sigma = np.sqrt(rate * (1 - rate) / ROWS)
  assert abs(rejected.mean() - rate) <= 5 * sigma + 1e-12


def test_rules_tell_apart():
  """Else the tests above would pass for one rule under many names."""
  laws = np.stack([_pi_and_q(name, 1.0, 1.0)[0] for name in rules.RULES])
  gaps = np.abs(laws[:, None] - laws[None]).max((2, 3, 4))
  assert (gaps + np.eye(len(laws)) > 0.02).all()


def test_top_k_reaches_the_loop():
  rows, k = 64, 2
  prompts = results.Prompts(
    np.tile(PROMPT, (rows, 1)), np.full(rows, 2), np.arange(rows)
  )
  ends = {
    (gamma, top_k): jax.device_get(
      cascade.decode(
        cascade.Cascade(MODEL, MODEL, gamma, 8, -1),
        TABLES,
        prompts,
        distributions.Sampling(np.ones(rows), np.ones(rows), top_k=top_k),
        rules.strict,
        np.zeros(rows),
        jax.random.key(0),
      ).token_BxN
    )
    for gamma, top_k in ((0, k), (3, k), (3, 0))
  }
  np.testing.assert_array_equal(ends[0, k], ends[3, k])
  sequence = np.concatenate([np.tile(PROMPT, (rows, 1)), ends[3, k]], 1)
  rank = (-TABLES[1]).argsort(-1).argsort(-1)
  before = sequence[:, :-2], sequence[:, 1:-1]
  assert rank[(*before, sequence[:, 2:])].max() == k - 1
  assert (ends[3, k] != ends[3, 0]).any()


def test_a_trace_by_hand():
  """Forced tables, gamma = 2: the example of the module's docstring.

  The drafter says 0 1 2 3 0 1 ..., the verifier 0 1 2 2 and then EOS; one of
  seven tokens is 6 = EOS.
  """
  sure = lambda after: np.where(np.eye(7)[after], 0.0, -1e9)  # noqa: E731
  q = np.tile(sure([1, 2, 3, 0, 0, 0, 0]), (7, 1, 1))
  p = q.copy()
  p[1, 2] = sure(2)
  p[2, 2] = sure(6)
  model = table_model.TableModel(7)
  result = cascade.decode(
    cascade.Cascade(model, model, 2, 8, 6),
    (q, p),
    results.Prompts(np.array([[3, 0], [5, 3]]), np.array([1, 2]), np.arange(2)),
    distributions.Sampling(np.ones(2), np.ones(2)),
    rules.strict,
    np.zeros(2),
    jax.random.key(0),
  )
  # Drafts 0 1 2, all kept; 3 for 2 and then 0 1: the first is redrawn; 3
  # for EOS, redrawn.
  np.testing.assert_array_equal(
    result.token_BxN, [[0, 1, 2, 2, 6, 0, 0, 0]] * 2
  )
  np.testing.assert_array_equal(result.length_B, [5, 5])
  np.testing.assert_array_equal(
    result.from_drafter_BxN, [[True] * 3 + [False] * 5] * 2
  )
  c = result.counts
  np.testing.assert_array_equal(c.verifier_calls_B, [3, 3])
  np.testing.assert_array_equal(c.drafter_steps_B, [9, 9])
  np.testing.assert_array_equal(c.drafted_B, [9, 9])
  np.testing.assert_array_equal(c.accepted_B, [3, 3])
  np.testing.assert_array_equal(c.rejected_B, [2, 2])
  np.testing.assert_array_equal(c.deferred_B, [2, 2])
  np.testing.assert_array_equal(c.accepted_lengths_BxG, [[2, 0, 0, 1]] * 2)
  np.testing.assert_array_equal(c.divergence_B, [2, 2])
