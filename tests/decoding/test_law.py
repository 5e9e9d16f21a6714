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

from speccascade import methods
from speccascade.decoding import defer, results
from speccascade.decoding import draft as draft_lib
from speccascade.decoding import loop as loop_lib
from speccascade.methods import ratio
from speccascade.sampling import keys, probabilities
from tests.decoding import table_model, tiny
from tests.rules import examples

pytestmark = pytest.mark.usefixtures('float64')

V, N, EOS, ROWS = 4, 3, 3, 10_000
PROMPT = (2, 1)
MODEL = table_model.TableModel(V)
TABLES = table_model.table(V, 0), table_model.table(V, 1)
# Text under a draft plan that changes it follows another law.
NAMES = tuple(n for n in tiny.DRAFTING if not methods.get(n).plan_changes_text)
REJECTED_AT_D_TV = [n for n in NAMES if methods.get(n).divergence_rejects]
LOSSLESS = [n for n, m in methods.METHODS.items() if m.lossless]
SETTINGS = [(1.0, 1.0), (0.8, 0.9)]  # (temperature, top-p)


def _request(names, temperature, top_p):
  prompts = results.Prompts(
    np.tile(PROMPT, (ROWS, 1)), np.full(ROWS, 2), np.arange(ROWS), len(names)
  )
  ones = np.ones(prompts.rows)
  values = (
    tuple(x * ones[:ROWS] for x in examples.middle(methods.get(n).parameters))
    for n in names
  )
  return results.Request(
    prompts,
    probabilities.Sampling(temperature * ones, top_p * ones),
    tuple(values),
    keys.make(7),
  )


@functools.cache
def _decode_all(temperature, top_p):
  groups = tuple(loop_lib.Group(methods.get(name), ROWS) for name in NAMES)
  loop = loop_lib.Loop(MODEL, MODEL, 1, N, (EOS,), groups)
  return jax.device_get(
    loop_lib.decode(loop, TABLES, _request(NAMES, temperature, top_p))
  )


def _decode(name, temperature, top_p):
  start = NAMES.index(name) * ROWS
  rows = slice(start, start + ROWS)
  return tiny.row(_decode_all(temperature, top_p), rows)


@functools.cache
def _pi_and_q(name, temperature, top_p):
  """VxVxV tables of the target and of what is drafted, after two tokens."""
  tables, q = jax.device_get(_targets(temperature, top_p))
  return tables[name], q


@jax.jit
def _targets(temperature, top_p):
  sampling = probabilities.Sampling(
    jnp.full(V, temperature), jnp.full(V, top_p)
  )
  q_raw, p_raw = (probabilities.raw(jnp.asarray(t)) for t in TABLES)
  q, p = (
    probabilities.sampled(t, raw, sampling)
    for t, raw in zip(TABLES, (q_raw, p_raw), strict=True)
  )
  tables = {
    name: _target(methods.get(name), q, p, q_raw, p_raw) for name in NAMES
  }
  return tables | {'verifier_alone': p, 'drafter_alone': q}, q


def _target(method, q, p, q_raw, p_raw):
  """The rule's pi; of a method without one, the pi that it declares."""
  values = tuple(np.full((V, V), x) for x in examples.middle(method.parameters))
  if isinstance(method, ratio.Ratio):
    return method.rule(q, p, q_raw, p_raw, *values)
  outcome = method.defer(
    draft_lib.Draft(
      jnp.zeros((V, V), int),
      q,
      q_raw,
      jnp.full(V, V),
      jnp.ones((V, V)),
      jnp.ones((V, V), bool),
    ),
    defer.Verified(p, p_raw),
    tuple(x[:, 0] for x in values),
    jnp.zeros((V, V, keys.U)),
  )
  return outcome.pi_BxGxV


def _sequences():
  """Every output: EOS ends it, or N tokens."""
  for s in itertools.product(range(V), repeat=N):
    n = s.index(EOS) + 1 if EOS in s else N
    if all(x == 0 for x in s[n:]):  # One of those alike up to EOS.
      yield s[:n]


def _check_law(result, pi):
  """Output sequences follow pi, by Pearson's statistic."""
  seen = {}
  for tokens, n in zip(result.token_BxN, result.length_B, strict=True):
    key = tuple(tokens[:n].tolist())
    seen[key] = seen.get(key, 0) + 1
  statistic = cells = total = 0
  for s in _sequences():
    share, before = 1, PROMPT
    for token in s:
      share *= pi[before][token]
      before = (before[1], token)
    total += share
    count = seen.pop(s, 0)
    if share == 0:
      assert count == 0
      continue
    statistic += (count - ROWS * share) ** 2 / (ROWS * share)
    cells += 1
  assert not seen  # Nothing after EOS, nothing longer than N.
  np.testing.assert_allclose(total, 1, atol=1e-12)
  assert statistic < cells + 2 * np.sqrt(20 * cells) + 40


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(('temperature', 'top_p'), SETTINGS)
def test_sequences_follow_pi(name, temperature, top_p):
  result = _decode(name, temperature, top_p)
  pi, q = _pi_and_q(name, temperature, top_p)
  _check_law(result, pi)
  expected = 0
  for s in _sequences():
    share, divergence, before = 1, 0, PROMPT
    for token in s:
      divergence += np.maximum(pi[before] - q[before], 0).sum()
      share *= pi[before][token]
      before = (before[1], token)
    expected += ROWS * share * divergence
  # The divergence is itself an exact sum over what was emitted: it varies by
  # sequence, at most N a row.
  divergence = result.counts.divergence_B
  assert (
    abs(divergence.sum() - expected)
    <= 5 * np.sqrt(N * max(expected, 1e-12)) + 1e-6
  )


@pytest.mark.parametrize('name', REJECTED_AT_D_TV)
@pytest.mark.parametrize(('temperature', 'top_p'), SETTINGS)
def test_as_many_are_rejected_as_divergences_sum_to(name, temperature, top_p):
  counts = _decode(name, temperature, top_p).counts
  rejected, divergence = counts.rejected_B, counts.divergence_B
  bound = 5 * np.sqrt(divergence.sum())
  assert abs((rejected - divergence).sum()) <= bound


@pytest.mark.parametrize('name', REJECTED_AT_D_TV)
def test_the_first_token_is_rejected_at_d_tv(name):
  result = _decode(name, 1.0, 1.0)
  pi, q = (x[PROMPT] for x in _pi_and_q(name, 1.0, 1.0))
  rate = np.maximum(pi - q, 0).sum()
  rejected = ~result.from_drafter_BxN[:, 0]
  sigma = np.sqrt(rate * (1 - rate) / ROWS)
  assert abs(rejected.mean() - rate) <= 5 * sigma + 1e-12


def test_rules_tell_apart():
  """Else the tests above would pass for one rule under many names."""
  names = [n for n in NAMES if isinstance(methods.get(n), ratio.Ratio)]
  laws = np.stack([_pi_and_q(name, 1.0, 1.0)[0] for name in names])
  gaps = np.abs(laws[:, None] - laws[None]).max((2, 3, 4))
  same = np.argwhere(gaps + np.eye(len(laws)) <= 0.02)
  assert not len(same), [(names[i], names[j]) for i, j in same]


def _standalone(name, temperature, top_p):
  request = _request((name,), temperature, top_p)
  return jax.device_get(
    methods.get(name).decode((MODEL, MODEL), TABLES, request, N, (EOS,))
  )


@pytest.mark.parametrize('name', LOSSLESS)
@pytest.mark.parametrize(('temperature', 'top_p'), SETTINGS)
def test_lossless_methods_sample_the_verifier(name, temperature, top_p):
  decode = _decode if methods.get(name).drafts else _standalone
  verifier = _pi_and_q('verifier_alone', temperature, top_p)[0]
  _check_law(decode(name, temperature, top_p), verifier)


def test_the_drafter_alone_samples_the_drafter():
  drafter = _pi_and_q('drafter_alone', 1.0, 1.0)[0]
  _check_law(_standalone('drafter_alone', 1.0, 1.0), drafter)


def test_only_lossless_methods_have_the_verifier_s_law():
  verifier = _pi_and_q('verifier_alone', 1.0, 1.0)[0]
  for name in NAMES:
    gap = np.abs(_pi_and_q(name, 1.0, 1.0)[0] - verifier).max()
    assert (gap < 1e-12) == methods.get(name).lossless


@pytest.mark.parametrize(
  'name',
  [
    n
    for n, m in methods.METHODS.items()
    if m.divergence_rejects and not m.drafts
  ],
)
def test_standalone_methods_reject_as_divergences_sum_to(name):
  counts = _standalone(name, 1.0, 1.0).counts
  bound = 5 * np.sqrt(counts.divergence_B.sum())
  assert bound > 0
  assert abs((counts.rejected_B - counts.divergence_B).sum()) <= bound


def _strict(model, tables, prompts, sizes, sampling):
  groups = (loop_lib.Group(methods.STRICT, prompts.rows),)
  request = results.Request(prompts, sampling, ((),), keys.make(0))
  loop = loop_lib.Loop(model, model, *sizes, groups)
  return jax.device_get(loop_lib.decode(loop, tables, request))


def test_top_k_reaches_the_loop():
  rows, k = 64, 2
  prompts = results.Prompts(
    np.tile(PROMPT, (rows, 1)), np.full(rows, 2), np.arange(rows)
  )
  ends = {
    (gamma, top_k): _strict(
      MODEL,
      TABLES,
      prompts,
      (gamma, 8, (-1,)),
      probabilities.Sampling(np.ones(rows), np.ones(rows), top_k=top_k),
    ).token_BxN
    for gamma, top_k in ((0, k), (3, k))
  }
  np.testing.assert_array_equal(ends[0, k], ends[3, k])
  sequence = np.concatenate([np.tile(PROMPT, (rows, 1)), ends[3, k]], 1)
  rank = (-TABLES[1]).argsort(-1).argsort(-1)
  before = sequence[:, :-2], sequence[:, 1:-1]
  assert rank[(*before, sequence[:, 2:])].max() == k - 1


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
  result = _strict(
    model,
    (q, p),
    results.Prompts(np.array([[3, 0], [5, 3]]), np.array([1, 2]), np.arange(2)),
    (2, 8, (6,)),
    probabilities.Sampling(np.ones(2), np.ones(2)),
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
  np.testing.assert_array_equal(c.accepted_lengths_BxA, [[2, 0, 0, 1]] * 2)
  np.testing.assert_array_equal(c.divergence_B, [2, 2])
