"""A T5 pair decodes as a Gemma pair does: decoding knows no family."""

import functools

import jax
import numpy as np
import pytest
import tiny

from speccascade import distributions, rules
from speccascade.decoding import (
  autoregressive,
  cascade,
  results,
  schedules,
  token_cascade,
)
from speccascade.models import t5

pytestmark = pytest.mark.usefixtures('float64')

V, N, EOS, ROWS = 24, 20, 5, 4
_SHARED = dict(
  vocab_size=V, embed_dim=12, num_heads=2, head_dim=6, hidden_dim=16,
  input_length=9, dtype='float64',
)  # fmt: skip
DRAFTER = t5.T5(t5.T5Config(num_layers=1, **_SHARED))
VERIFIER = t5.T5(t5.T5Config(num_layers=2, scan_layers=True, **_SHARED))
ALPHA_B = np.linspace(0.1, 0.9, ROWS)


@functools.cache
def _params():
  rng = np.random.default_rng(0)
  draw = lambda x: 0.4 * rng.normal(size=x.shape)  # noqa: E731
  return tuple(
    jax.tree.map(draw, jax.eval_shape(m.init, jax.random.key(0)))
    for m in (DRAFTER, VERIFIER)
  )


def _prompts():
  token_PxS = np.random.default_rng(1).integers(2, V, (ROWS, 9))
  return results.Prompts(token_PxS, np.array([9, 1, 4, 6]), np.arange(ROWS))


def _sampling():
  return distributions.Sampling(np.array([1, 0, 0.7, 1]), np.ones(ROWS))


def _decode(gamma, rule, schedule=schedules.FIXED, parameter=(), rows=None):
  rows = slice(None) if rows is None else rows
  return cascade.decode(
    cascade.Cascade(DRAFTER, VERIFIER, gamma, N, EOS, schedule=schedule),
    _params(),
    tiny.row(_prompts(), rows),
    tiny.row(_sampling(), rows),
    rule,
    ALPHA_B[rows],
    jax.random.key(0),
    parameter,
  )


@pytest.mark.parametrize('name', ['strict', 'token_v3', 'opt', 'drafter'])
def test_any_plan_gives_the_same_tokens(name):
  rule = rules.RULES[name]
  alone = _decode(0, rule)
  tiny.assert_same(_decode(3, rule), alone)
  cost_G = 1 + 0.2 * np.arange(4)
  tiny.assert_same(_decode(3, rule, schedules.COST, cost_G), alone)
  assert len({tuple(row) for row in np.asarray(alone.token_BxN)}) == ROWS


def test_a_row_alone_gives_what_it_gives_in_a_batch():
  together = _decode(3, rules.token_v3)
  rows = slice(2, 3)
  tiny.assert_same(
    _decode(3, rules.token_v3, rows=rows),
    tiny.row(together, rows),
    gamma_free=False,
  )


def test_strict_at_temperature_0_is_the_verifier_alone():
  alone = autoregressive.decode(
    autoregressive.Autoregressive(VERIFIER, N, EOS),
    _params()[1],
    _prompts(),
    _sampling(),
    jax.random.key(0),
  )
  np.testing.assert_array_equal(
    _decode(3, rules.strict).token_BxN[1], alone.token_BxN[1]
  )


def test_token_cascade_is_chow():
  sequential = token_cascade.decode(
    token_cascade.TokenCascade(DRAFTER, VERIFIER, N, EOS),
    _params(),
    _prompts(),
    _sampling(),
    ALPHA_B,
    jax.random.key(0),
  )
  tiny.assert_same(sequential, _decode(3, rules.chow))
