"""The timed decoding loop: what it runs, and how times become rows."""

import itertools

import jax
import numpy as np
import pytest

from speccascade import methods, pairs, tokenizers
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.timing import costs
from speccascade.timing import loop as timed
from tests.sweeps import tiny_pair
from tests.timing import fake_clock

N = 6  # Most new tokens: every row ends within the timed turns.
GAMMA = 2


def test_parts_and_table_of_a_known_row():
  row = timed.Row(
    schedule='cost',
    batch=3,
    gamma=24,
    drafter_step=0.5,
    verifier_step=6.0,
    steps=6.0,
    width=6.4,
    block=7.0,
    overhead=1.1,
    tokens=5.5,
    compile_seconds=2.0,
  )
  assert row.parts == 10.0
  assert row.iteration == pytest.approx(11.0)
  table = timed.table([row])
  assert '| cost | 24 | 0.500 | 6.00 | 6.0 | 6.4 | 7.00 | 10.00 ' in table
  assert '| 11.00 | 1.10 | 5.50 | 0.67 | 2.00 | 2.0 s |' in table
  assert len({line.count('|') for line in table.splitlines()}) == 1


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))


def _prompts(examples):
  token_PxS = np.random.default_rng(examples[0]).integers(4, 700, (3, 5))
  return results.Prompts(token_PxS, np.array([5, 1, 3]), np.array(examples))


def _one_by_one(loop, params):
  """Request -> (drafted, committed) of each block of each row's answer."""
  start = jax.jit(lambda request: loop_lib.init(loop, params, request))

  @jax.jit
  def step(state, request):
    u_BxMx3 = loop_lib.uniforms(loop, request)
    return loop_lib.iterate(loop, params, request, u_BxMx3, state)

  def run(request):
    state, told = start(request), [[], [], []]
    while not state.done_B.all():
      old, state = state, step(state, request)
      for b in np.flatnonzero(~old.done_B):
        drafted = state.tally.drafted_B[b] - old.tally.drafted_B[b]
        told[b].append((drafted, state.length_B[b] - old.length_B[b]))
    return told

  return run


@pytest.mark.parametrize(
  ('name', 'parameter'),
  [('fixed', ()), ('cost', 1 + 0.02 * np.arange(GAMMA + 1))],
)
def test_the_loop_decodes_each_answer_again_and_again(pair, name, parameter):
  loop = loop_lib.Loop(
    pair.drafter,
    pair.verifier,
    GAMMA,
    N,
    tokenizers.EOS,
    (loop_lib.Group(methods.METHODS['token_v3'], 3),),
    schedules.SCHEDULES[name],
  )
  requests = [
    timed._request(_prompts(examples), 1.0, 0.5, parameter)
    for examples in ([0, 1, 2], [3, 4, 5])
  ]
  run = timed._timed_loop(loop, pair.params, requests)
  one_by_one = _one_by_one(loop, pair.params)
  for r in (0, 1, 2):
    drafted_KxB, committed_KxB = run(costs.LONG, r)
    blocks = one_by_one(requests[r % 2])
    for b, own in enumerate(blocks):
      again = np.array((own * costs.LONG)[: costs.LONG])
      np.testing.assert_array_equal(drafted_KxB[:, b], again[:, 0])
      np.testing.assert_array_equal(committed_KxB[:, b], again[:, 1])
    assert len({len(own) for own in blocks}) > 1  # They end apart.


def test_parts_are_what_ran():
  """Turns 2.. count; the longest draft of the batch takes the block."""
  drafted_KxB = np.full((costs.LONG, 3), 1)
  drafted_KxB[2:10, 1] = 3
  drafted_KxB[10:, 2] = 5
  committed_KxB = np.minimum(drafted_KxB, 2)
  ran = timed._ran(lambda *_: (drafted_KxB, committed_KxB), 0, (2, 3, 6))
  assert ran.steps == 4.0
  assert ran.blocks == {2: 0, 3: 0.5, 6: 0.5}
  assert ran.tokens == pytest.approx(4 / 3)
  part_times = {
    ('drafter', 1): np.array([1.0, 2.0, 9.0]),
    ('verifier', 1): np.array([7.0, 7.0, 7.0]),
    ('verifier', 2): np.array([8.0, 8.0, 8.0]),
    ('verifier', 3): np.array([10.0, 20.0, 90.0]),
    ('verifier', 6): np.array([14.0, 28.0, 126.0]),
  }
  # Parts of the rounds: 16, 32, 144; a slow round is slow for all.
  got = timed._summary([ran], np.array([17.6, 32.0, 288.0]), part_times)
  assert got['overhead'] == pytest.approx(1.1)
  assert got['block'] == pytest.approx(24.0)
  assert (got['steps'], got['width']) == (4.0, 4.5)


def test_rows_are_of_the_times_of_parts_and_loops(pair, monkeypatch):
  """A step takes 1 ms, T tokens 2 T, an iteration a tenth over its parts.

  Each loop takes 5 s more, and 60 at first. Drafts of cost have 2 tokens.
  """
  fake, parameters = fake_clock.install(monkeypatch), {}
  drafts = {'fixed': 4, 'cost': 2}

  def part(ms):
    return lambda turns, r: fake.advance(5 + turns * ms / 1e3)

  def parts(own, prompts, widths, new_tokens):
    assert (own, new_tokens) == (pair, N)
    loops = {('verifier', T): part(2 * T) for T in widths}
    return loops | {('drafter', 1): part(1)}

  def timed_loop(loop, params, requests):
    assert loop.groups == (loop_lib.Group(methods.METHODS['token_v3'], 3),)
    name = next(k for k, x in schedules.SCHEDULES.items() if x is loop.schedule)
    parameters[name] = requests[0].schedule_parameter
    tokens, first = drafts[name], itertools.chain([60], itertools.repeat(0))

    def run(turns, r):
      fake.advance(next(first) + 5 + turns * 1.1 * 3 * tokens / 1e3)
      drafted_KxB = np.full((costs.LONG, 3), tokens)
      return drafted_KxB, drafted_KxB - 1

    return run

  measured = costs.Costs(1.0, {T: 2.0 * T for T in range(1, 6)}, {})
  monkeypatch.setattr(costs, 'costs', lambda *_, rounds: measured)
  monkeypatch.setattr(costs, 'parts', parts)
  monkeypatch.setattr(timed, '_timed_loop', timed_loop)
  plans = [schedules.Plan(3), schedules.Plan(4, 'cost')]
  groups = [_prompts([0, 1, 2]), _prompts([3, 4, 5])]
  fixed, cost = timed.measure(pair, groups, plans, N, rounds=3)
  assert (fixed.schedule, fixed.gamma, fixed.batch) == ('fixed', 3, 3)
  assert (cost.schedule, cost.gamma, cost.batch) == ('cost', 4, 3)
  for row, tokens in ((fixed, 4), (cost, 2)):
    assert (row.steps, row.width, row.tokens) == (tokens, tokens, tokens - 1)
    assert row.drafter_step == pytest.approx(1)
    assert row.verifier_step == pytest.approx(2)
    assert row.block == pytest.approx(2 * tokens)
    assert row.iteration == pytest.approx(1.1 * 3 * tokens)
    assert row.overhead == pytest.approx(1.1)
    assert row.compile_seconds == pytest.approx(65, rel=1e-2)
  assert parameters['fixed'] == ()
  widths = timed.blocks.widths(5, False)
  expected = [d + 2 * min(w for w in widths if w >= d) for d in range(1, 6)]
  np.testing.assert_allclose(parameters['cost'], expected)


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'temperature': float('nan')}, 'temperature must be a finite number of'),
    ({'new_tokens': 9000}, 'prompt 0 is too long: 5 tokens'),
    (
      {'plans': [schedules.Plan(1), schedules.Plan(-1, 'cost')]},
      'gamma must be a non-negative integer, got -1',
    ),
  ],
)
def test_bad_arguments_are_told_before_any_compile(
  pair, monkeypatch, changes, line
):
  monkeypatch.setattr(timed, '_timed_loop', None)
  arguments = {'plans': [schedules.Plan(1)], 'new_tokens': N, 'rounds': 1}
  with pytest.raises(ValueError, match=line) as error:
    timed.measure(pair, [_prompts([0, 1, 2])], **arguments | changes)
  assert '\n' not in str(error.value)
