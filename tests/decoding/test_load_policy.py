"""What a batch drafts by its load: what pays, and who leaves."""

import functools
import types
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import lag, load
from speccascade.models import cache as cache_lib

pytestmark = pytest.mark.usefixtures('float64')

G = 4
# Of plain decoding, that a draft must promise; and for a prompt to be read.
GAIN, READ = 1.05, 1.1


def _state(B=4, **changes) -> load.State:
  return load.init(np.ones(G + 1), B, G).replace(**changes)


def _begin(cost_A, state, active_B=None, behind=0) -> tuple[load.State, Any]:
  cost_A, able_B = jnp.asarray(cost_A), jnp.ones(4, bool)
  active_B = able_B if active_B is None else active_B
  return load.begin(cost_A, state, active_B, able_B, behind)


def test_a_batch_drafts_where_that_is_faster_by_its_rate():
  """A rate of 0.95 at first: drafts of d tokens commit 1 + .95 + .. of them."""
  tokens = np.cumsum(0.95 ** np.arange(G))
  for over, pays in ((0.99, True), (1.01, False)):
    cost_A = np.array([GAIN, *(tokens * over)])  # No draft does, or all do.
    _, found = _begin(cost_A, _state())
    assert found == (over < 1) == pays
  begun, _ = _begin(np.array([1.0, 1, 1, 1, 2.0]), _state())
  np.testing.assert_allclose(begun.worth, 4 * tokens[2])
  # Rows that ended count neither way.
  half, _ = _begin([1.0, 1, 1, 1, 2.0], _state(), jnp.arange(4) < 2)
  np.testing.assert_allclose(half.worth, 2 * tokens[2])


def test_a_drafter_that_has_much_to_read_drafts_only_where_that_pays_too():
  """A block costs what a token does; drafts share blocks, one each at most."""
  tokens = np.cumsum(0.95 ** np.arange(G))
  cost_A = np.array([1.0, *(0.9 * tokens)])
  block = (cost_A[G] - cost_A[0]) / G
  for known, shared in ((40, 40), (50, 50), (1000, 64)):
    state = _state(rejected=(known - 40) / 20.0, verified=known - 40.0)
    even = shared * 0.1 * tokens[G - 1] / block  # The longest saves the most.
    assert even < shared
    for behind, pays in ((0, True), (0.99 * even, True), (1.01 * even, False)):
      begun, found = _begin(cost_A, state, behind=jnp.asarray(behind))
      assert found == pays
      # What was read is of no account once a block is begun.
      np.testing.assert_allclose(begun.worth, 4 / 0.9)
    for over, pays in ((0.99, True), (1.01, False)):
      last = (over * tokens[G - 1] + 1 / G) / (1 + 1 / G)
      dear_A = np.array([1.0, 9, 9, 9, last])
      for behind in (64, 1000):
        assert _begin(dear_A, state, behind=behind)[1] == pays


def test_rows_that_cannot_draft_write_a_token_whatever_is_drafted():
  tokens = np.cumsum(0.95 ** np.arange(G))
  able_B, active_B = (
    jnp.array([1, 1, 0, 0], bool),
    jnp.array([1, 1, 1, 0], bool),
  )
  for over, pays in ((0.99, True), (1.01, False)):
    cost_A = jnp.array([3.0 * GAIN, *(over * (2 * tokens + 1))])
    state, found = load.begin(cost_A, _state(), active_B, able_B, 0)
    assert found == pays
  np.testing.assert_array_equal(state.active_B, active_B & able_B)


@pytest.mark.parametrize('rejected', [0.0, 3.0, 30.0])
def test_a_prompt_is_worth_reading_if_its_row_would_draft(rejected):
  """Were it alone, had it shown nothing, and by more: reading costs as well."""
  seen = {'rejected': jnp.array(rejected), 'verified': jnp.array(40.0)}
  for B, sure in ((1, 10), (4, 40), (16, 64)):  # Tokens taken to be known.
    rate = 1 - (0.05 * sure + rejected) / (sure + 40)
    tokens = np.cumsum(rate ** np.arange(G))
    for over, pays in ((0.99, True), (1.01, False)):
      cost_A = jnp.array([READ, *(over * tokens)])
      assert load.hopes(cost_A, _state(B, **seen)) == pays
      if B == 4:
        cost_A = jnp.array([GAIN, *(over * tokens)])
        assert _begin(cost_A, _state(B, **seen))[1] == pays


def test_rows_are_held_to_what_they_and_the_batch_have_shown():
  state, parameter = _state(), jnp.ones(G + 1)
  for _ in range(40):  # Row 0 keeps all, row 1 nothing, row 3 is done.
    state = load.update(
      parameter,
      state,
      jnp.array([4, 4, 2, 0]),
      jnp.array([4, 0, 1, 0]),
      jnp.full((4, G), 0.9),
    )
  begun, _ = _begin(parameter, state)
  kept, none, half, unseen = begun.rate_B
  assert kept > 0.95
  assert none < 0.3
  assert abs(half - 0.5) < 0.1
  assert half < unseen < kept  # The batch's: of 7 a block 5 stood.
  blocks = 512 * (1 - (1 - 1 / 512) ** 40)  # That it remembers.
  np.testing.assert_allclose(
    unseen, 1 - (2 + 2 * blocks) / (40 + 7 * blocks), rtol=1e-6
  )


def test_a_batch_that_does_not_draft_tries_again_in_the_end():
  state = _state(rejected=jnp.array(50.0), verified=jnp.array(60.0))
  cost_A, turns = np.array([1.0, *np.linspace(1.5, 2.0, G)]), 0
  update = jax.jit(functools.partial(load.update, jnp.asarray(cost_A)))
  none_B, ones_BxG = jnp.zeros(4, jnp.int32), jnp.ones((4, G))
  while not _begin(cost_A, state, behind=-(-turns // G))[1]:
    state = update(state, none_B, none_B, ones_BxG)
    turns += 1
  assert 100 < turns < 2000


def _drafted(cost_A, state, confidence_BxG):
  """Tokens that each row drafts, were these their confidences."""
  state, _ = _begin(cost_A, state)
  wants_B, drafted_B = np.ones(4, bool), np.zeros(4, int)
  for d in range(1, G + 1):
    drafted_B += wants_B
    seen_BxG = np.where(np.arange(G) < d, confidence_BxG, 1)
    wants_B &= np.asarray(
      load.more(jnp.asarray(cost_A), state, d, jnp.array(seen_BxG))
    )
  return drafted_B


def test_sure_rows_draft_on_and_unsure_ones_leave_them():
  sure_BxG = np.full((4, G), 0.99)
  cost_A = np.array([1.0, *(1 + 0.1 * np.arange(1, G + 1))])
  np.testing.assert_array_equal(_drafted(cost_A, _state(), sure_BxG), G)
  # One row that is lost leaves, and the others pay for themselves.
  one_BxG = sure_BxG.copy()
  one_BxG[2, 1] = 0.0
  doubting = _state(rejected_B=jnp.full(4, 8.0))
  np.testing.assert_array_equal(_drafted(cost_A, doubting, one_BxG)[2], 2)
  np.testing.assert_array_equal(
    np.delete(_drafted(cost_A, doubting, one_BxG), 2), G
  )
  # Where all but one doubt, what is left is not worth a step of all.
  dear_A = np.array([1.0, *(1.0 + 0.6 * np.arange(1, G + 1))])
  three_BxG = sure_BxG.copy()
  three_BxG[1:, 0] = 0.6
  assert _drafted(dear_A, doubting, three_BxG)[0] < G
  assert _drafted(dear_A, doubting, sure_BxG)[0] == G


def test_what_is_verified_counts_alone():
  """Of drafts past the first rejection nothing is known."""
  confidence_BxG = jnp.array([[0.1, 0.9, 0.2, 0.3]] * 4)
  state = load.update(
    jnp.ones(G + 1),
    _state(),
    jnp.array([4, 4, 2, 0]),
    jnp.array([0, 4, 1, 0]),
    confidence_BxG,
  )
  np.testing.assert_allclose(state.rejected_B, [1, 0, 1, 0])
  np.testing.assert_allclose(state.verified_B, [1, 4, 2, 0])
  np.testing.assert_allclose(state.doubt_B, [0.9, 2.5, 1.0, 0])
  assert (state.rejected, state.verified) == (2, 7)
  np.testing.assert_allclose(state.doubt, 4.4)


def test_the_batch_forgets_its_rejections_and_its_drafts_alike():
  state = _state(
    **{x: jnp.array(50.0) for x in ('rejected', 'verified', 'doubt')}
  )
  none_B, ones_BxG = jnp.zeros(4, jnp.int32), jnp.ones((4, G))
  for _ in range(20):
    state = load.update(jnp.ones(G + 1), state, none_B, none_B, ones_BxG)
  left = 50 * (1 - 1 / 512) ** 20
  for x in (state.rejected, state.verified, state.doubt):
    np.testing.assert_allclose(x, left)


def test_a_drafter_that_is_sure_of_what_is_rejected_is_not_believed():
  """Its confidence is that of drafts that fail: they are as likely to."""
  dear_A = np.array([1.0, *(1 + 0.5 * np.arange(1, G + 1))])
  sure_BxG = np.ones((4, G))
  assert (_drafted(dear_A, _state(), sure_BxG) == G).all()
  seen = {'rejected': 280.0, 'verified': 400.0, 'doubt': 0.0}
  state = _state(**{name: jnp.array(x) for name, x in seen.items()})
  assert (_drafted(dear_A, state, sure_BxG) < G).all()


def test_rows_that_ended_add_nothing_to_what_a_draft_may_gain():
  cost_A = np.array([1.0, *(1 + 0.4 * np.arange(1, G + 1))])
  first_B = jnp.arange(4) < 1
  half_BxG = np.full((4, G), 0.5)
  half_BxG[0] = 0.0
  state, _ = _begin(cost_A, _state(), first_B)
  asked = jnp.asarray(cost_A), state, 1, jnp.array(half_BxG)
  assert not load.more(*asked).any()


def test_flat_costs_keep_even_lost_rows():
  flat_A = np.ones(G + 1)
  np.testing.assert_array_equal(_drafted(flat_A, _state(), np.zeros((4, G))), G)


def test_a_dear_step_is_taken_for_the_cheap_ones_after_it():
  cost_A = np.array([1.0, 1.0, 3.0, 3.01, 3.02])
  assert (_drafted(cost_A, _state(), np.ones((4, G))) == G).all()


def test_a_row_leaves_where_there_is_no_hope_and_not_before():
  """The rate is about a half, at a doubt of as much."""
  half = {x: jnp.array(200.0) for x in ('rejected', 'doubt')}
  state = _state(verified=jnp.array(400.0), **half)
  cost_A = np.array([1.0, *(1 + 0.01 * np.arange(1, G + 1))])
  confidence_BxG = np.full((4, G), 0.99)
  confidence_BxG[:, 3] = 1  # Yet to be drafted.
  confidence_BxG[1, :3] = 0.4
  confidence_BxG[2, :3] = 0.0
  begun, _ = _begin(cost_A, state)
  asked = jnp.asarray(cost_A), begun, 3, jnp.array(confidence_BxG)
  assert load.more(*asked).tolist() == [True, True, False, True]


def test_a_draft_that_must_be_is_weighed_by_what_drafts_are_worth():
  """At a temperature one is drafted where plain decoding is faster."""
  cost_A = np.array([0.01, 1.0, 1.0, 1.0, 2.0])
  begun, pays = _begin(cost_A, _state())
  assert not pays
  tokens = np.cumsum(0.95 ** np.arange(G))
  np.testing.assert_allclose(begun.worth, 4 * tokens[2])


@flax.struct.dataclass
class _Rows:
  drafter_cache: cache_lib.Cache
  verifier_cache: cache_lib.Cache


@flax.struct.dataclass
class _Told(_Rows):
  done_B: jax.Array
  able_B: jax.Array
  schedule: Any


def test_a_drafter_that_did_not_draft_holds_what_it_did():
  cache = lambda x: cache_lib.Cache(jnp.array(x), (), (), ())  # noqa: E731
  rows = lambda q, p: _Rows(cache(q), cache(p))  # noqa: E731
  drafting_B = jnp.array([True, False, True])
  before, after = rows([3, 5, 2], [3, 8, 6]), rows([6, 6, 6], [7, 9, 8])
  kept = lag.keep(drafting_B, before, after)
  assert kept.drafter_cache.length_B.tolist() == [7, 5, 8]


def test_a_schedule_is_told_of_what_the_rows_that_may_draft_have_not_read():
  told = []

  class Schedule:
    def begin(self, parameter, state, active_B, able_B, behind):
      told.append(int(behind))
      return state, False

  cache = lambda x: cache_lib.Cache(jnp.array(x), (), (), ())  # noqa: E731
  groups = (types.SimpleNamespace(method=methods.STRICT, rows=4),)
  loop = types.SimpleNamespace(schedule=Schedule(), gamma=3, groups=groups)
  sampling = types.SimpleNamespace(temperature_B=jnp.zeros(4))
  request = types.SimpleNamespace(schedule_parameter=None, sampling=sampling)
  for held, blocks in ((20, 0), (19, 1), (16, 1), (15, 2), (0, 5)):
    # One row is done, one has an unread prompt.
    state = _Told(
      done_B=jnp.array([False, True, False, False]),
      able_B=jnp.array([True, True, False, True]),
      schedule=(),
      drafter_cache=cache([7, 0, 0, held]),
      verifier_cache=cache([7, 40, 40, 20]),
    )
    lag.begin(loop, request, state)
    assert told.pop() == blocks


def _simulated(B, rate, confidence, cost_A):
  """Tokens a unit of cost: of the schedule, and of drafts of 0 to G.

  Of answers of 240 tokens: a drafter lags by no more, and by all but nothing
  again and again if there is one row.
  """
  G, turns = len(cost_A) - 1, 1500
  block = (cost_A[G] - cost_A[0]) / G

  def turn(carry, key):
    state, tokens, cost, lag = carry
    behind, every_B = -(-lag // G), jnp.ones(B, bool)
    state, pays = load.begin(cost_A, state, every_B, every_B, behind)
    cost += jnp.where(pays, behind * block, 0)
    most = jnp.minimum(lag + 1, 240)
    lag = jnp.where(pays, 0, most % 240 if B == 1 else most)
    wants_B = jnp.full(B, pays)
    length_B, run = wants_B.astype(int), pays.astype(int)
    for d in range(1, G):
      seen_BxG = jnp.where(jnp.arange(G) < d, confidence, 1.0)
      seen_BxG = jnp.broadcast_to(seen_BxG, (B, G))
      wants_B &= load.more(cost_A, state, jnp.int32(d), seen_BxG)
      length_B, run = length_B + wants_B, run + wants_B.any()
    stands_BxG = jax.random.uniform(key, (B, G)) < rate
    drafted_BxG = jnp.arange(G) < length_B[:, None]
    kept_B = jnp.cumprod(stands_BxG & drafted_BxG, 1).sum(1)
    state = load.update(
      cost_A, state, length_B, kept_B, jnp.full((B, G), confidence)
    )
    emitted_B = jnp.minimum(kept_B + 1, jnp.maximum(length_B, 1))
    return (state, tokens + emitted_B.sum(), cost + cost_A[run], lag), None

  start = load.init(cost_A, B, G), 0, jnp.zeros(()), 0
  own = jax.random.split(jax.random.key(0), turns)
  (_, tokens, cost, _), _ = jax.lax.scan(turn, start, own)
  fixed_A = jnp.concatenate([jnp.ones(1), jnp.cumsum(rate ** jnp.arange(G))])
  return tokens / cost, B * fixed_A / cost_A


@pytest.mark.parametrize('confidence', [0.9, 1.0])
@pytest.mark.parametrize('rate', [0.3, 0.7, 0.95])
@pytest.mark.parametrize('B', [1, 16])
def test_it_is_near_the_best_draft_whatever_the_drafter_says(
  B, rate, confidence
):
  """A cheap drafter, dear ones, and a block that costs by its tokens."""
  run = jax.jit(functools.partial(_simulated, B))
  for step, token in ((0.05, 0.0), (0.5, 0.02), (0.62, 0.0), (0.15, 0.3)):
    d = np.arange(7)
    cost_A = jnp.array(1 + step * d + token * np.maximum(d, 1))
    own, fixed_A = run(rate, confidence, cost_A)
    assert own >= 0.93 * fixed_A.max(), (step, token)
