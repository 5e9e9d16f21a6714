import dataclasses
import json

import numpy as np
import pytest

from speccascade import benchmark, pairs
from speccascade.decoding import results
from tests.sweeps import tiny_pair

COSTS = benchmark.Costs(
  drafter_step=0.5,
  verifier_block={1: 3.0, 2: 4.0, 4: 5.0, 9: 6.0},
  prefill={32: {'drafter': 1.0, 'verifier': 7.0}},
)


def test_costs_are_made_again_from_json():
  text = json.dumps(dataclasses.asdict(COSTS))
  assert benchmark.Costs(**json.loads(text)) == COSTS


def test_an_iteration_is_its_steps_and_the_narrowest_block_that_holds_them():
  assert COSTS.iteration_G((2, 4), 4) == (4.5, 5.0, 6.5, 7.0)
  assert COSTS.iteration_G((9,), 3) == (6.5, 7.0, 7.5)


def test_turns_are_a_difference_of_loops_timed_side_by_side(monkeypatch):
  """A clock that the loops move: a start, and so much a turn and round."""
  now, calls = 0.0, []

  def loop(name, a_turn):
    def run(turns, r):
      nonlocal now
      calls.append((name, turns, r))
      now += 100 + turns * (a_turn + r)

    return run

  monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: now)
  ms = benchmark.turns({'a': loop('a', 2), 'b': loop('b', 5)}, rounds=3)
  np.testing.assert_allclose(ms['a'], [2000, 3000, 4000])
  np.testing.assert_allclose(ms['b'], [5000, 6000, 7000])
  assert benchmark.medians(ms) == {'a': 3000, 'b': 6000}
  assert [call[0] for call in calls[2:]] == [*'aabb'] * 3  # After a first run.


@pytest.fixture(scope='module')
def prompts():
  """Of two widths, ragged."""
  return [
    results.Prompts(np.full((3, S), 9), np.array([S, 1, 2]), np.arange(3))
    for S in (4, 8)
  ]


@pytest.mark.slow
def test_every_part_of_a_tiny_pair_is_timed(tmp_path, prompts):
  pair = pairs.load(tiny_pair.save(tmp_path / 'pair'))
  costs = benchmark.costs(pair, prompts, (1, 3), new_tokens=8, rounds=3)
  assert set(costs.verifier_block) == {1, 3}
  assert set(costs.prefill) == {4, 8}
  # Differences of short loops; a busy machine may turn one around.
  times = (costs.drafter_step, *costs.verifier_block.values())
  times += tuple(ms for both in costs.prefill.values() for ms in both.values())
  assert np.isfinite(times).all()
