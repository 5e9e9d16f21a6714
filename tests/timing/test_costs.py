import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

from speccascade.decoding import results
from speccascade.models import cache as cache_lib
from speccascade.timing import costs as costs_lib
from tests.timing import fake_clock

COSTS = costs_lib.Costs(
  drafter_step=0.5,
  verifier_block={1: 3.0, 2: 4.0, 4: 5.0, 9: 6.0},
  prefill={32: {'drafter': 1.0, 'verifier': 7.0}},
)


def test_costs_are_restored_from_json():
  text = json.dumps(dataclasses.asdict(COSTS))
  assert costs_lib.Costs(**json.loads(text)) == COSTS


def test_an_iteration_is_its_steps_and_the_narrowest_block_that_holds_them():
  assert COSTS.iteration_G((2, 4), 4) == (4.5, 5.0, 6.5, 7.0)
  assert COSTS.iteration_G((9,), 3) == (6.5, 7.0, 7.5)


def test_turns_are_a_difference_of_loops_timed_side_by_side(monkeypatch):
  """Each loop takes 100 s, and in round r so much more a turn."""
  clock, calls = fake_clock.install(monkeypatch), []

  def loop(name, a_turn):
    def run(turns, r):
      calls.append((name, turns, r))
      clock.advance(100 + turns * (a_turn + r))

    return run

  ms = costs_lib.turns({'a': loop('a', 2), 'b': loop('b', 5)}, rounds=3)
  np.testing.assert_allclose(ms['a'], [2000, 3000, 4000])
  np.testing.assert_allclose(ms['b'], [5000, 6000, 7000])
  assert costs_lib.medians(ms) == {'a': 3000, 'b': 6000}
  assert [call[0] for call in calls[2:]] == [*'aabb'] * 3  # After a first run.


@dataclasses.dataclass(frozen=True, eq=False)
class _Model:
  """Moves a clock by known milliseconds as it runs on the device.

  A block of T tokens takes 10 T, the prefill of a prompt of width S takes S; a
  drafter takes a tenth. The next token is the last token.
  """

  clock: fake_clock.FakeClock
  speed: float

  def _take(self, ms, x):
    def move(x):
      self.clock.advance(ms / self.speed / 1e3)
      return x

    return io_callback(move, jax.typeof(x), x, ordered=True)

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    assert (new_tokens, block) == (8, 3)
    last_B = token_BxS[jnp.arange(len(length_B)), length_B - 1] + params
    cache = cache_lib.Cache(length_B - 1, (), (), ())
    return cache, self._take(token_BxS.shape[1], last_B)

  def extend(self, params, cache, token_BxT):
    T = token_BxT.shape[1]
    logits_BxTxV = jax.nn.one_hot(token_BxT + params, 10)
    cache = cache.replace(length_B=cache.length_B + T)
    return self._take(10 * T, logits_BxTxV), cache


def test_every_part_of_a_pair_is_timed(monkeypatch):
  clock = fake_clock.install(monkeypatch)
  pair = types.SimpleNamespace(
    drafter=_Model(clock, 10),
    verifier=_Model(clock, 1),
    drafter_params=0,
    verifier_params=0,
  )
  prompts = [
    results.Prompts(np.full((3, S), 9), np.array([S, 1, 2]), np.arange(3))
    for S in (4, 8)
  ]
  costs = costs_lib.costs(pair, prompts, (1, 3), new_tokens=8, rounds=3)
  assert costs.drafter_step == pytest.approx(1)
  assert costs.verifier_block == pytest.approx({1: 10, 3: 30})
  assert costs.prefill.keys() == {4, 8}
  for S, times in costs.prefill.items():
    assert times == pytest.approx({'drafter': S / 10, 'verifier': S})
