"""Draft schedules: what they ask for, and that no token depends on them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from speccascade import rules
from speccascade.decoding import blocks, cascade, schedules

pytestmark = pytest.mark.usefixtures('float64')

GAMMA = 8
G = GAMMA + 1
PARAMETERS = {
  'fixed': (),
  'confidence': np.linspace(0.1, 0.9, tiny.ROWS),
  'adaptive': (),
  'cost': 1 + 0.1 * np.arange(1, G + 1),
}


def _make(name, gamma=GAMMA):
  return cascade.Cascade(
    tiny.DRAFTER,
    tiny.VERIFIER,
    gamma,
    tiny.N,
    tiny.EOS,
    schedule=schedules.SCHEDULES[name],
  )


@functools.cache
def _decode(name, rule):
  return jax.device_get(
    cascade.decode(
      _make(name),
      tiny.params(),
      tiny.prompts(),
      tiny.sampling(),
      rules.RULES[rule],
      tiny.alphas(rule),
      jax.random.key(0),
      PARAMETERS[name],
    )
  )


def test_every_schedule_is_tested():
  assert set(PARAMETERS) == set(schedules.SCHEDULES)


@pytest.mark.parametrize('rule', rules.RULES)
@pytest.mark.parametrize('name', [n for n in PARAMETERS if n != 'fixed'])
def test_any_schedule_gives_the_same_tokens(name, rule):
  result = _decode(name, rule)
  tiny.assert_same(result, tiny.decode(rule, 0))
  c = result.counts
  np.testing.assert_array_equal(c.drafter_steps_B, c.drafted_B)
  np.testing.assert_array_equal(c.accepted_B + c.rejected_B, result.length_B)
  histogram = c.accepted_lengths_BxG
  np.testing.assert_array_equal(histogram.sum(1), c.verifier_calls_B)
  np.testing.assert_array_equal(histogram @ np.arange(G + 1), c.accepted_B)
  assert (c.drafted_B >= result.length_B).all()
  assert (c.drafted_B <= G * c.verifier_calls_B).all()


def test_schedules_differ():
  drafted = [
    tuple(_decode(name, 'token_v3').counts.drafted_B) for name in PARAMETERS
  ]
  assert len(set(drafted)) == len(drafted)


@pytest.mark.parametrize('name', ['confidence', 'adaptive', 'cost'])
def test_a_row_alone_drafts_what_it_drafts_in_a_batch(name):
  together = _decode(name, 'opt')
  parameter = PARAMETERS[name]
  for b in (1, 4, 6):
    rows = slice(b, b + 1)
    alone = cascade.decode(
      _make(name),
      tiny.params(),
      tiny.row(tiny.prompts(), rows),
      tiny.row(tiny.sampling(), rows),
      rules.opt,
      tiny.alphas('opt')[rows],
      jax.random.key(0),
      parameter[rows] if name == 'confidence' else parameter,
    )
    tiny.assert_same(alone, tiny.row(together, rows), gamma_free=False)


def test_confidence_stops_at_the_first_unsure_token():
  """Thresholds past 1 would stop at each token, 0 at none but EOS."""
  for threshold, block in ((1.0, 1), (0.0, G)):
    result = cascade.decode(
      _make('confidence'),
      tiny.params(),
      tiny.prompts(),
      tiny.sampling(),
      rules.drafter,
      np.zeros(tiny.ROWS),
      jax.random.key(0),
      np.full(tiny.ROWS, threshold),
    )
    np.testing.assert_array_equal(
      result.counts.verifier_calls_B, -(-result.length_B // block)
    )
    if not threshold:  # EOS ends a draft, N does not.
      ended = (result.token_BxN == tiny.EOS).any(1)
      drafted_B = np.asarray(result.counts.drafted_B)
      np.testing.assert_array_equal(drafted_B[ended], result.length_B[ended])


def test_adaptive_by_hand():
  state = schedules.ADAPTIVE.init((), 3, 9)
  more = functools.partial(schedules.ADAPTIVE.more, (), drafted=5)
  assert not more(state, confidence_B=jnp.ones(3)).any()
  for drafted_B, accepted_B, wanted_B in (
    ([5, 5, 0], [5, 2, 0], [7, 4, 5]),  # The last row is done.
    ([7, 4, 0], [7, 0, 0], [9, 3, 5]),
    ([9, 3, 0], [9, 3, 0], [9, 5, 5]),  # No more than G.
  ):
    state = schedules.ADAPTIVE.update(
      (), state, jnp.array(drafted_B), jnp.array(accepted_B)
    )
    np.testing.assert_array_equal(state[0], wanted_B)
  for _ in range(9):
    state = schedules.ADAPTIVE.update(
      (), state, jnp.ones(3, int), jnp.zeros(3, int)
    )
  np.testing.assert_array_equal(state[0], [1, 1, 1])


def test_cost_takes_the_best_length():
  cost_G = np.array([1.0, 1.1, 1.2, 2.0, 2.1, 2.2])
  for acceptance in (0.0, 0.3, 0.6, 0.9, 0.99, 1.0):
    best = max(
      range(1, 7),
      key=lambda d: sum(acceptance**i for i in range(d)) / cost_G[d - 1],  # noqa: B023
    )
    got = schedules._cheapest(cost_G, jnp.full(2, acceptance))
    np.testing.assert_array_equal(got, best)


def test_cost_learns_the_acceptance_of_each_row():
  parameter = jnp.array([1.0, 1.3, 1.6, 1.9])
  state = schedules.COST.init(parameter, 3, 4)
  for _ in range(30):
    drafted_B = state[0].at[2].set(0)
    state = schedules.COST.update(
      parameter, state, drafted_B, drafted_B * jnp.array([1, 0, 0])
    )
  np.testing.assert_array_equal(state[0][:2], [4, 1])
  np.testing.assert_array_equal(
    state[0][2], schedules.COST.init(parameter, 3, 4)[0][2]
  )


def test_a_block_is_no_wider_than_needed():
  class Model:
    def extend(self, params, cache, token_BxT):
      width = token_BxT.shape[1]
      logits = jnp.full((*token_BxT.shape, 2), float(width)) + params
      return logits, cache + width

  assert blocks.widths(9, fixed=True) == (9,)
  assert blocks.widths(9, fixed=False) == (3, 5, 9)
  assert blocks.widths(1, fixed=False) == (1,)
  run = jax.jit(
    lambda length_B: blocks.extend(
      Model(), 0.5, jnp.int32(0), jnp.zeros((3, 9), int), length_B, (3, 5, 9)
    )
  )
  for lengths, width in (((1, 3, 0), 3), ((4, 1, 1), 5), ((2, 6, 9), 9)):
    logits, cache = run(jnp.array(lengths))
    assert cache == width
    np.testing.assert_array_equal(logits[:, :width], width + 0.5)
    np.testing.assert_array_equal(logits[:, width:], 0)


@pytest.mark.parametrize(
  ('name', 'parameter', 'complaint'),
  [
    ('fixed', 0.5, 'fixed takes no parameter'),
    ('adaptive', np.ones(3), 'adaptive takes no parameter'),
    ('confidence', (), 'takes a probability'),
    ('confidence', 1.5, 'takes a probability'),
    ('confidence', np.nan, 'takes a probability'),
    ('cost', np.ones(4), 'what 1 to 9 tokens cost'),
    ('cost', np.zeros(9), 'what 1 to 9 tokens cost'),
  ],
)
def test_a_wrong_parameter_is_named(name, parameter, complaint):
  with pytest.raises(ValueError, match=complaint):
    cascade.decode(
      _make(name),
      tiny.params(),
      tiny.prompts(),
      tiny.sampling(),
      rules.strict,
      np.zeros(tiny.ROWS),
      jax.random.key(0),
      parameter,
    )
