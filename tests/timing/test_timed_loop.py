"""The timed decoding loop: what it runs, and how times become rows."""

import jax
import numpy as np
import pytest

from speccascade import methods, pairs
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import prefill, results, schedules
from speccascade.timing import costs, parts, turns
from speccascade.timing import loop as timed
from tests.sweeps import tiny_pair
from tests.timing import fake_clock

N = 6  # Most new tokens: every row ends within the timed turns.
TURNS = 16
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
    spread=1.5,
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
  """State, request -> (drafted, committed) of each block of each answer."""

  @jax.jit
  def step(state, request):
    u_BxMxU = loop_lib.uniforms(loop, request)
    return loop_lib.iterate(loop, params, request, u_BxMxU, state)

  def run(state, request):
    told = [[], [], []]
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
    pair.eos_ids,
    (loop_lib.Group(methods.METHODS['token_v3'], 3),),
    schedules.SCHEDULES[name],
  )
  requests = [
    timed._request(_prompts(examples), 1.0, 0.5, parameter)
    for examples in ([3, 4, 5], [6, 7, 8])
  ]
  one_by_one = _one_by_one(loop, pair.params)
  loops = timed._timed_loops(loop, pair.params, requests, prefill.prefill)
  for own_loop, request in zip(loops, requests, strict=True):
    drafted_KxB, committed_KxB = timed._run(own_loop, TURNS)
    assert not drafted_KxB[TURNS:].any()
    blocks = one_by_one(own_loop.start(), request)
    for b, own in enumerate(blocks):
      again = np.array((own * TURNS)[:TURNS])
      np.testing.assert_array_equal(drafted_KxB[:TURNS, b], again[:, 0])
      np.testing.assert_array_equal(committed_KxB[:TURNS, b], again[:, 1])
    assert len({len(own) for own in blocks}) > 1  # They end apart.


def test_parts_are_what_ran():
  """Turns up to the last count; a batch's longest draft takes the block."""
  drafted_KxB = np.full((turns.MOST, 3), 1)
  drafted_KxB[:8, 1] = 3
  drafted_KxB[8:16, 2] = 5
  committed_KxB = np.minimum(drafted_KxB, 2)
  loop = turns.Loop(tuple, lambda start, number: (drafted_KxB, committed_KxB))
  ran = timed._ran(loop, 16, (2, 3, 6))
  assert ran.steps == 4.0
  assert ran.blocks == {2: 0, 3: 0.5, 6: 0.5}
  assert ran.tokens == pytest.approx(4 / 3)
  part_turns = {
    ('drafter', 1): turns.Turn(2.0, 16, 1.1),
    ('verifier', 1): turns.Turn(7.0, 16, 1.2),
    ('verifier', 2): turns.Turn(8.0, 16, 1.3),
    ('verifier', 3): turns.Turn(20.0, 16, 3.0),
    ('verifier', 6): turns.Turn(28.0, 16, 1.4),
  }
  loop_turns = [turns.Turn(ms, 16, 1.5) for ms in (30.0, 40.4)]
  got = timed._summary([ran, ran], loop_turns, part_turns)
  assert got['overhead'] == pytest.approx(35.2 / 32)
  assert got['block'] == pytest.approx(24.0)
  assert (got['steps'], got['width']) == (4.0, 4.5)
  assert got['spread'] == 3.0


def _known_times(pair, monkeypatch, busy, rounds):
  """Rows, and the parameters of their schedules, of loops of known times.

  A step takes 1 ms, T tokens 2 T, an iteration a tenth over its parts, and what
  comes before 50 ms; busy() times that at each run. Drafts of cost have 2
  tokens, those of fixed 4. Starting the loop is free, compiling it too.
  """
  fake, parameters = fake_clock.install(monkeypatch), {}
  drafts = {'fixed': 4, 'cost': 2}

  def timed_loop(ms, told=None):
    def run(start, number):
      fake.advance((50 + number * ms) / 1e3 * busy())
      return told

    return turns.Loop(lambda: fake.advance(7), run)

  def blocks(own, prompts, widths, new_tokens, read):
    assert (own, new_tokens) == (pair, N)
    loops = {('verifier', T): timed_loop(2 * T) for T in widths}
    return loops | {('drafter', 1): timed_loop(1)}

  def timed_loops(loop, params, requests, read):
    assert loop.groups == (loop_lib.Group(methods.METHODS['token_v3'], 3),)
    name = next(k for k, x in schedules.SCHEDULES.items() if x is loop.schedule)
    parameters[name] = requests[0].schedule_parameter
    tokens = drafts[name]
    drafted_KxB = np.full((turns.MOST, 3), tokens)
    told = drafted_KxB, drafted_KxB - 1
    return [timed_loop(1.1 * 3 * tokens, told)] * len(requests)

  measured = costs.Costs(1.0, {T: 2.0 * T for T in range(1, 6)}, {})
  monkeypatch.setattr(costs, 'costs', lambda *_: measured)
  monkeypatch.setattr(parts, 'blocks', blocks)
  monkeypatch.setattr(timed, '_timed_loops', timed_loops)
  plans = [schedules.Plan(3), schedules.Plan(4, 'cost')]
  groups = [_prompts([0, 1, 2]), _prompts([3, 4, 5])]
  return timed.measure(pair, groups, plans, N, rounds), parameters


def test_rows_are_of_the_times_of_parts_and_loops(pair, monkeypatch):
  rows, parameters = _known_times(pair, monkeypatch, lambda: 1, rounds=3)
  fixed, cost = rows
  assert (fixed.schedule, fixed.gamma, fixed.batch) == ('fixed', 3, 3)
  assert (cost.schedule, cost.gamma, cost.batch) == ('cost', 4, 3)
  for row, tokens in ((fixed, 4), (cost, 2)):
    assert (row.steps, row.width, row.tokens) == (tokens, tokens, tokens - 1)
    assert row.drafter_step == pytest.approx(1)
    assert row.verifier_step == pytest.approx(2)
    assert row.block == pytest.approx(2 * tokens)
    assert row.iteration == pytest.approx(1.1 * 3 * tokens)
    assert row.overhead == pytest.approx(1.1)
    assert row.spread == pytest.approx(1)
    seconds = 7 + 0.05 + 16 * 1.1 * 3 * tokens / 1e3
    assert row.compile_seconds == pytest.approx(seconds)
  assert parameters['fixed'] == ()
  widths = timed.blocks.widths(5, schedules.COST)
  expected = [d + 2 * min(w for w in widths if w >= d) for d in range(1, 6)]
  np.testing.assert_allclose(parameters['cost'], expected)


@pytest.mark.parametrize('seed', range(5))
def test_times_are_positive_on_a_machine_however_busy(pair, monkeypatch, seed):
  rows, _ = _known_times(pair, monkeypatch, fake_clock.busy(seed), rounds=9)
  for row in rows:
    numbers = row.drafter_step, row.verifier_step, row.block, row.overhead
    assert np.isfinite(numbers).all()
    assert min(numbers) > 0
    assert row.overhead == pytest.approx(1.1, rel=0.6)
    assert row.spread > 2


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
  monkeypatch.setattr(timed, '_timed_loops', None)
  arguments = {'plans': [schedules.Plan(1)], 'new_tokens': N, 'rounds': 1}
  with pytest.raises(ValueError, match=line) as error:
    timed.measure(pair, [_prompts([0, 1, 2])], **arguments | changes)
  assert '\n' not in str(error.value)
