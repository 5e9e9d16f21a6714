"""Draft schedules: what they ask for, and that no token depends on them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.decoding import blocks, schedules
from speccascade.decoding import draft as draft_lib
from speccascade.decoding import loop as loop_lib
from tests.decoding import table_model, tiny

pytestmark = pytest.mark.usefixtures('float64')

GAMMA = 8
G = GAMMA + 1
NAMES = (*tiny.FORMS, 'drafter')
ROWS = len(NAMES) * tiny.ROWS
VARIABLE = [n for n, s in schedules.SCHEDULES.items() if s.more is not None]
ALONE = [n for n in VARIABLE if schedules.get(n).begin is None]


def _parameter(name):
  """One that the schedule takes: swept ones take one a row."""
  schedule = schedules.get(name)
  if schedule.measured:
    if schedule.begin is not None:
      return 1 + 0.5 * np.arange(G + 1)
    return 1 + 0.1 * np.arange(1, G + 1)
  return np.linspace(0.1, 0.9, ROWS) if schedule.swept else ()


@functools.cache
def _tables():
  """(drafter's, verifier's): alike but far from equal."""
  verifier, noise = (table_model.table(32, seed, 2.0) for seed in (0, 1))
  return verifier + 0.3 * noise, verifier


def _run(name, gemma=False, **changes):
  """The batch under every method; by tables, which compile fast."""
  loop = tiny.make_loop(GAMMA, NAMES, schedule=schedules.get(name))
  if not gemma:
    model = table_model.TableModel(32)
    loop = dataclasses.replace(loop, drafter=model, verifier=model)
  params = tiny.params() if gemma else _tables()
  parameter = _parameter(name)
  asked = tiny.request(NAMES, schedule_parameter=parameter)
  asked = asked.replace(**changes)
  return jax.device_get(loop_lib.decode(loop, params, asked))


@functools.cache
def _decode(name, gemma=False):
  return _run(name, gemma)


@pytest.mark.parametrize('name', VARIABLE)
@pytest.mark.parametrize('method', NAMES)
def test_any_schedule_gives_the_same_tokens(name, method):
  i = NAMES.index(method)
  result = tiny.group(_decode(name), i)
  tiny.assert_same(result, tiny.group(_decode('fixed'), i))
  _check_counts(result)


@pytest.mark.parametrize('method', NAMES)
def test_blocks_of_many_widths_give_the_same_tokens(method):
  """Of models whose caches are rings: any schedule will do."""
  result = tiny.group(_decode('confidence', gemma=True), NAMES.index(method))
  tiny.assert_same(result, tiny.decode(method, 3))
  _check_counts(result)


def _check_counts(result):
  c = result.counts
  np.testing.assert_array_equal(c.drafter_steps_B, c.drafted_B)
  np.testing.assert_array_equal(c.accepted_B + c.rejected_B, result.length_B)
  histogram = c.accepted_lengths_BxA
  np.testing.assert_array_equal(histogram.sum(1), c.verifier_calls_B)
  np.testing.assert_array_equal(histogram @ np.arange(G + 1), c.accepted_B)
  assert (c.drafted_B >= result.length_B).all()
  assert (c.drafted_B <= G * c.verifier_calls_B).all()


def test_schedules_differ():
  """`load`, by which rows decide together, in the batch as a whole."""
  made = {name: _decode(name) for name in schedules.SCHEDULES}
  whole = {tuple(result.counts.drafted_B) for result in made.values()}
  assert len(whole) == len(made)
  by_row = [r for name, r in made.items() if name != 'load']
  for i, method in enumerate(NAMES):
    drafted = {tuple(tiny.group(r, i).counts.drafted_B) for r in by_row}
    assert len(drafted) == len(by_row), method


@pytest.mark.parametrize(
  ('name', 'gemma'), [*((n, False) for n in ALONE), ('confidence', True)]
)
def test_a_row_drafts_what_it_drafts_beside_others(name, gemma):
  together = _decode(name, gemma)
  for b in (1, 4, 6):
    own = np.arange(b, ROWS, tiny.ROWS)  # Of each group, in every place.
    rows = np.repeat(own, tiny.ROWS)
    asked = tiny.alone(tiny.request(NAMES), b)
    parameter = _parameter(name)
    if schedules.get(name).swept:
      parameter = parameter[rows]
    alone = _run(
      name,
      gemma,
      prompts=asked.prompts,
      sampling=asked.sampling,
      values=asked.values,
      schedule_parameter=parameter,
    )
    tiny.assert_same(alone, tiny.row(together, rows), gamma_free=False)


def test_confidence_stops_at_the_first_unsure_token():
  """Threshold 1 stops at each token, 0 at none but EOS."""
  for threshold, block in ((1.0, 1), (0.0, G)):
    result = _run('confidence', schedule_parameter=np.full(ROWS, threshold))
    result = tiny.group(result, NAMES.index('drafter'))
    np.testing.assert_array_equal(
      result.counts.verifier_calls_B, -(-result.length_B // block)
    )
    if not threshold:  # EOS ends a draft, N does not.
      ended = (result.token_BxN == tiny.EOS).any(1)
      drafted_B = np.asarray(result.counts.drafted_B)
      np.testing.assert_array_equal(drafted_B[ended], result.length_B[ended])


def test_a_draft_goes_on_by_the_confidences_of_its_tokens():
  least_B = np.linspace(0.01, 0.5, tiny.ROWS)
  u_BxGx2 = np.random.default_rng(0).uniform(size=(tiny.ROWS, G, 2))
  active_B = np.arange(tiny.ROWS) != 2

  @jax.jit
  def run(params, prompts):
    cache, last_B = tiny.DRAFTER.prefill(
      params, prompts.token_PxS, prompts.length_P, new_tokens=tiny.N, block=G
    )
    return draft_lib.draft(
      tiny.DRAFTER,
      params,
      cache,
      last_B.astype(jnp.int32),
      jnp.array(active_B),
      tiny.sampling(),
      jnp.array(u_BxGx2),
      lambda drafted, token_B, confidence_BxG: (
        confidence_BxG.prod(1) >= least_B
      ),
    )[0]

  draft = jax.device_get(run(tiny.params()[0], tiny.prompts()))
  chance_BxG = draft.q_raw_BxGxV.max(-1).cumprod(1)
  for b, length in enumerate(draft.length_B):
    before, at = chance_BxG[b, : max(length - 1, 0)], chance_BxG[b, length - 1]
    assert (before >= least_B[b]).all()
    assert length == G or not active_B[b] or at < least_B[b]
  np.testing.assert_array_equal(draft.length_B > 0, active_B)
  assert len(set(draft.length_B.tolist())) > 3


def test_adaptive_by_hand():
  state = schedules.ADAPTIVE.init((), 3, 22)
  more = functools.partial(schedules.ADAPTIVE.more, (), confidence_BxG=None)
  assert more(state, 19).all()
  assert not more(state, 20).any()
  for drafted_B, accepted_B, wanted_B in (
    ([20, 20, 0], [20, 2, 0], [22, 19, 20]),  # The last row is done.
    ([22, 4, 0], [22, 4, 0], [22, 21, 20]),  # No more than G.
    ([22, 21, 0], [21, 0, 0], [21, 20, 20]),
  ):
    state = schedules.ADAPTIVE.update(
      (), state, jnp.array(drafted_B), jnp.array(accepted_B), None
    )
    np.testing.assert_array_equal(state[0], wanted_B)
  for _ in range(30):
    state = schedules.ADAPTIVE.update(
      (), state, jnp.ones(3, int), jnp.zeros(3, int), None
    )
  np.testing.assert_array_equal(state[0], [1, 1, 1])


def _asked(parameter, state, confidence_BxG):
  """Tokens drafted by each row whose confidences would be these."""
  B, G = confidence_BxG.shape
  wants_B, drafted_B = np.ones(B, bool), np.zeros(B, int)
  for d in range(1, G + 1):
    drafted_B += wants_B
    seen_BxG = np.where(np.arange(G) < d, confidence_BxG, 1)
    wants_B &= schedules.COST.more(parameter, state, d, jnp.array(seen_BxG))
  return drafted_B


def _best_value(cost_G, stands, drafted):
  """The most that any longer draft gains over its price, tokens as paid best.

  By enumeration: a draft of n tokens commits 1 + a + .. + a^(n - 1).
  """
  a = 0.95
  tokens = [sum(a**i for i in range(n)) for n in range(len(cost_G) + 1)]
  paid = min(cost / tokens[n] for n, cost in enumerate(cost_G, 1))
  return max(
    paid * stands * tokens[n - drafted] - (cost_G[n - 1] - cost_G[drafted - 1])
    for n in range(drafted + 1, len(cost_G) + 1)
  )


@pytest.mark.parametrize(
  'cost_G',
  [
    np.linspace(4, 9, 12),
    np.repeat([3.0, 5.0, 6.0], 4) + 0.1 * np.arange(12),  # Widths of 4, 8, 12.
    np.linspace(1, 12, 12),  # Drafting as dear as verifying.
    np.array([5.0, 4.9, *[9.0] * 9, 8.5]),  # Some longer drafts cost less.
  ],
)
def test_cost_drafts_on_while_more_tokens_promise_more_than_they_cost(cost_G):
  rng = np.random.default_rng(0)
  confidence_BxG = rng.uniform(0, 1, (40, 12)) ** rng.uniform(0, 3, (40, 1))
  parameter = jnp.array(cost_G)
  state = schedules.COST.init(parameter, 40, 12)
  drafted_B = _asked(parameter, state, confidence_BxG)
  for confidence_G, drafted in zip(confidence_BxG, drafted_B, strict=True):
    stands_G = np.exp(-0.5 * np.cumsum(1 - confidence_G))
    for d in range(1, drafted):
      assert _best_value(cost_G, stands_G[d - 1], d) >= 0
    if drafted < 12:
      assert _best_value(cost_G, stands_G[drafted - 1], drafted) < 0
  assert (drafted_B < 12).any()


def test_cost_learns_how_far_to_trust_each_row():
  parameter = jnp.linspace(4.0, 8.0, 10)
  state = schedules.COST.init(parameter, 3, 10)
  confidence_BxG = np.full((3, 10), 0.8)
  first_B = _asked(parameter, state, confidence_BxG)
  drafted_B = jnp.array([5, 5, 0])  # The last row is done.
  accepted_B = jnp.array([5, 2, 0])
  update = functools.partial(
    schedules.COST.update,
    parameter,
    drafted_B=drafted_B,
    accepted_B=accepted_B,
    confidence_BxG=jnp.array(confidence_BxG),
  )
  rejected_B, doubt_B = update(state)[:2]
  # What stands after a rejection the verifier has not read.
  np.testing.assert_allclose(rejected_B, [0.5, 1.5, 0.5])
  np.testing.assert_allclose(doubt_B, [2.0, 1.6, 1.0])
  for _ in range(30):
    state = update(state)
  trusted, doubted, same = _asked(parameter, state, confidence_BxG)
  assert trusted == 10
  assert doubted < same == first_B[2] < 10


@pytest.mark.parametrize(
  ('rows', 'want'),
  [
    (1, (13, 19, 25)),  # Of 16 tokens the widest serves narrower ones.
    (4, (4, 7, 13, 19, 25)),
    (16, (1, 4, 7, 13, 19, 25)),
    (256, (1, 4, 7, 13, 19, 25)),
    (None, (1, 4, 7, 13, 19, 25)),
  ],
)
def test_an_accelerator_has_no_width_that_is_no_faster(rows, want, monkeypatch):
  assert blocks.widths(25, schedules.LOAD, rows) == (1, 4, 7, 13, 19, 25)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert blocks.widths(25, schedules.LOAD, rows) == want
  assert blocks.widths(9, schedules.LOAD, 1) == (9,)
  assert blocks.widths(9, schedules.FIXED, rows) == (9,)


def test_fewer_widths_change_no_token(monkeypatch):
  """Where a block is as wide as the program goes, whatever was drafted."""
  loop = tiny.make_loop(3, ('strict',), schedule=schedules.ADAPTIVE)
  model = table_model.TableModel(32)
  loop = dataclasses.replace(loop, drafter=model, verifier=model)
  decode = lambda: jax.device_get(  # noqa: E731
    loop_lib.decode(loop, _tables(), tiny.request(('strict',)))
  )
  want = decode()
  monkeypatch.setattr(sharding, 'platform', lambda: 'gpu')
  monkeypatch.setattr(blocks, '_FREE', 4 * tiny.ROWS)
  assert blocks.widths(4, schedules.ADAPTIVE, tiny.ROWS) == (4,)
  loop_lib._decode.clear_cache()
  got = decode()
  loop_lib._decode.clear_cache()
  np.testing.assert_array_equal(got.token_BxN, want.token_BxN)
  np.testing.assert_array_equal(got.counts.drafted_B, want.counts.drafted_B)


def test_a_block_is_no_wider_than_needed():
  def verify(width, cache, block_BxW):
    assert block_BxW.shape == (3, width)
    told = block_BxW + width, jnp.full(3, width)
    return told, cache + width

  assert blocks.widths(9, schedules.FIXED) == (9,)
  assert blocks.widths(25, schedules.COST) == (4, 7, 13, 19, 25)
  assert blocks.widths(25, schedules.LOAD) == (1, 4, 7, 13, 19, 25)
  assert blocks.widths(1, schedules.COST) == (1,)
  block_BxG = jnp.arange(27).reshape(3, 9)
  run = jax.jit(
    lambda length_B: blocks.narrowest(
      verify, (3, 5, 9), length_B, jnp.int32(0), block_BxG
    )
  )
  for lengths, width in (((1, 3, 0), 3), ((4, 1, 1), 5), ((2, 6, 9), 9)):
    (told_BxG, told_B), cache = run(jnp.array(lengths))
    assert cache == width
    np.testing.assert_array_equal(told_B, width)
    np.testing.assert_array_equal(
      told_BxG[:, :width], block_BxG[:, :width] + width
    )
    np.testing.assert_array_equal(told_BxG[:, width:], 0)


@pytest.mark.usefixtures('optimised')
def test_a_width_that_is_not_chosen_costs_nothing():
  """What a block or a draft decides is computed in the loop of its width."""

  def run(params, cache, block_BxG, q_BxGxV, length_B):
    ones_B = jnp.ones(3)
    draft = draft_lib.Draft(
      block_BxG, q_BxGxV, q_BxGxV, length_B, ones_B, ones_B
    )

    def verify(width, cache, block_BxW):
      own = draft_lib.first(draft, width, block_BxW)
      with jax.named_scope('first_layer'):
        x_BxWxV = params[block_BxW] @ params
      with jax.named_scope('rule'):
        sure_BxW = jnp.exp(own.q_BxGxV).max(-1)
      return sure_BxW + (x_BxWxV * cache).sum(-1), cache + width

    widths = blocks.widths(9, schedules.COST)
    return blocks.narrowest(verify, widths, length_B, cache, block_BxG)

  shapes = (
    *(jnp.ones((32, 32)), 1.0, jnp.zeros((3, 9), int)),
    *(jnp.ones((3, 9, 32)), jnp.ones(3, int)),
  )
  program = jax.jit(run).lower(*shapes).compile().as_text()
  before, after = program.split('ENTRY')
  for part in ('first_layer', 'rule'):
    assert part in before
    assert part not in after


@pytest.mark.parametrize(
  ('name', 'parameter', 'complaint'),
  [
    ('fixed', 0.5, 'takes no parameter, got 0.5'),
    ('adaptive', np.ones(3), 'takes no parameter'),
    ('confidence', (), 'takes a probability'),
    ('confidence', 1.5, 'takes a probability'),
    ('confidence', np.ones(3), f'one for each of {ROWS} rows'),
    ('confidence', np.nan, 'takes a probability'),
    ('cost', np.ones(4), 'takes the costs of 1 to 9 tokens'),
    ('cost', np.zeros(9), 'takes the costs of 1 to 9 tokens'),
    ('load', np.ones(9), 'takes the costs of 0 to 9 tokens'),
  ],
)
def test_a_wrong_parameter_is_named(name, parameter, complaint):
  before = loop_lib._decode._cache_size()
  with pytest.raises(ValueError, match=complaint) as error:
    _run(name, schedule_parameter=parameter)
  assert '\n' not in str(error.value)
  assert loop_lib._decode._cache_size() == before


@pytest.mark.parametrize('name', schedules.SCHEDULES)
def test_every_schedule_checks_its_parameter(name):
  schedule = schedules.get(name)
  schedule.check(_parameter(name), GAMMA, ROWS)
  wrong = np.full(np.size(_parameter(name)) or 1, np.nan)
  with pytest.raises(ValueError) as error:
    schedule.check(wrong, GAMMA, ROWS)
  assert '\n' not in str(error.value)


def test_an_unknown_schedule_is_named():
  with pytest.raises(ValueError, match="unknown schedule 'x'; known: fixed, "):
    schedules.get('x')
