"""Costs of a pair's parts: measured, completed, and kept as JSON."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

from speccascade.decoding import results, schedules
from speccascade.models import cache as cache_lib
from speccascade.timing import costs as costs_lib
from speccascade.timing import parts, turns
from tests.timing import fake_clock

COSTS = costs_lib.Costs(
  drafter_step=0.1 + 0.2,  # A float of 17 digits.
  verifier_block={1: 3.0, 2: 4.0, 4: 5.0, 9: 6.0},
  prefill={32: {'drafter': 1.0, 'verifier': 7.0}},
  spread=1.25,
)


def test_costs_are_restored_from_json():
  assert costs_lib.from_json(COSTS.to_json()) == COSTS
  assert COSTS.to_json().count('\n') == 1
  fields = _fields()
  del fields['spread']
  unknown = costs_lib.from_json(json.dumps(fields))
  assert unknown == dataclasses.replace(COSTS, spread=None)
  assert costs_lib.from_json(unknown.to_json()) == unknown


def _fields():
  fields = json.loads(COSTS.to_json())
  del fields['crc32']
  return fields


def _text(**changes):
  return json.dumps(_fields() | changes)


FAULTS = [
  ('', 'Expecting value'),
  ('{"drafter', 'Unterminated string'),
  ('[' * 10**5, 'nested too deeply'),
  ('{}', 'drafter_step: Field required'),
  ('3', 'should be a dictionary'),
  ('[]', 'should be a dictionary'),
  ('null', 'should be a dictionary'),
  (_text(drafter_step=0), 'drafter_step: Input should be greater than'),
  (_text(drafter_step=-1.5), 'drafter_step: Input should be greater than'),
  (_text(drafter_step=float('nan')), 'NaN is not a finite number'),
  (_text(drafter_step=float('inf')), 'Infinity is not a finite number'),
  (_text(drafter_step=1e-50), 'drafter_step: Input should be greater'),
  (_text(drafter_step=10**400), 'drafter_step: Input should be'),
  (_text(drafter_step=True), 'drafter_step: Input should be a valid number'),
  (_text(drafter_step='1'), 'drafter_step: Input should be a valid number'),
  (_text(verifier_block=[1]), 'verifier_block: Input should be'),
  (_text(verifier_block={'0': 1}), 'verifier_block.0.* greater than or'),
  (_text(verifier_block={'x\x1b[2J\n': 1}), r'verifier_block.x\\x1b\[2J\\n'),
  (_text(verifier_block={'2': None}), 'verifier_block.2: Input should be'),
  (_text(prefill={'32': 4}), 'prefill.32: Input should be'),
  (_text(prefill={'32': {'oracle': 4}}), 'prefill.32.oracle.* Input should be'),
  (_text(prefill={'32': {'drafter': -4}}), 'prefill.32.drafter: Input should'),
  (_text(spread=0.5), 'spread: Input should be greater'),
]


@pytest.mark.parametrize(('text', 'line'), FAULTS)
def test_what_is_no_costs_is_told_in_a_line(text, line):
  with pytest.raises(ValueError, match=line) as error:
    costs_lib.from_json(text)
  assert str(error.value).isprintable()


def test_a_file_is_read_or_told_of(tmp_path, capsys):
  path = tmp_path / 'costs.json'
  assert costs_lib.read(path) is None
  path.write_text(COSTS.to_json())
  assert costs_lib.read(path) == COSTS
  assert capsys.readouterr() == ('', '')
  whole = COSTS.to_json().encode()
  digit = whole.replace(b'3.0', b'3.1')  # Which no range tells.
  for torn in (digit, whole[:40], b'\xff\xfe\x00', b''):
    path.write_bytes(torn)
    assert costs_lib.read(path) is None
    out, error = capsys.readouterr()
    assert out == ''
    assert error.count('\n') == 1
    assert error.startswith(f'{path}: ')
    assert error.endswith('; costs are measured again\n')


@pytest.mark.parametrize('bad', [0.0, -1.0, float('nan'), float('inf'), 1e-40])
def test_no_costs_are_not_positive(bad):
  with pytest.raises(ValueError, match='greater than|less than|finite'):
    dataclasses.replace(COSTS, verifier_block={1: bad})


def test_an_iteration_is_its_steps_and_the_narrowest_block_that_holds_them():
  costs = dataclasses.replace(COSTS, drafter_step=0.5)
  assert costs.iteration_G((2, 4), 4) == (4.5, 5.0, 6.5, 7.0)
  assert costs.iteration_G((9,), 3) == (6.5, 7.0, 7.5)


def test_what_the_schedule_is_given_survives_json():
  cost_G = COSTS.iteration_G((1, 2, 4, 9), 9)
  again_G = json.loads(json.dumps(cost_G))
  np.testing.assert_array_equal(np.array(again_G), np.array(cost_G))


def test_the_schedule_takes_any_costs():
  """In any order, and of any size that a check lets through."""
  rng, widths = np.random.default_rng(0), (3, 6, 13, 19, 25)
  first = jax.jit(lambda cost_G: schedules.COST.init(cost_G, 2, 25))
  for _ in range(20):
    step, *block = 10 ** rng.uniform(-12, 12, 6)
    costs = costs_lib.Costs(step, dict(zip(widths, block, strict=True)), {})
    cost_G = np.array(costs.iteration_G(widths, 25), np.float32)
    schedules.COST.check(cost_G, 24, 1)
    assert not any(np.isnan(x).any() for x in first(cost_G))


@dataclasses.dataclass(frozen=True, eq=False)
class _Model:
  """Moves a clock by known milliseconds as it runs on the device.

  A block of T tokens takes 10 T, the prefill of a prompt of width S takes S; a
  drafter takes a tenth. The next token is the last token.
  """

  clock: fake_clock.FakeClock
  speed: float
  traced: list = dataclasses.field(default_factory=list)

  def _take(self, ms, x):
    self.traced.append(ms)

    def move(x):
      self.clock.advance(ms / self.speed / 1e3)
      return x

    return io_callback(move, jax.typeof(x), x, ordered=True)

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    assert new_tokens == 8
    last_B = token_BxS[jnp.arange(len(length_B)), length_B - 1] + params
    cache = cache_lib.Cache(length_B - 1, (), (), ())
    return cache, self._take(token_BxS.shape[1], last_B)

  def extend(self, params, cache, token_BxT):
    T = token_BxT.shape[1]
    logits_BxTxV = jax.nn.one_hot(token_BxT + params, 10)
    cache = cache.replace(length_B=cache.length_B + T)
    return self._take(10 * T, logits_BxTxV), cache


@pytest.fixture
def pair(monkeypatch):
  clock = fake_clock.install(monkeypatch)
  return types.SimpleNamespace(
    drafter=_Model(clock, 10),
    verifier=_Model(clock, 1),
    drafter_params=0,
    verifier_params=0,
  )


def _prompts(*widths):
  return [
    results.Prompts(np.full((3, S), 9), np.array([S, 1, 2]), np.arange(3))
    for S in widths
  ]


def _near(expected):
  """Up to the clock's resolution."""
  return pytest.approx(expected, rel=1e-5)


def test_every_part_of_a_pair_is_timed(pair):
  costs = costs_lib.costs(pair, _prompts(4, 8), (1, 3), new_tokens=8, rounds=2)
  assert costs.drafter_step == _near(1)
  assert costs.verifier_block == _near({1: 10, 3: 30})
  assert costs.prefill.keys() == {4, 8}
  for S, times in costs.prefill.items():
    assert times == _near({'drafter': S / 10, 'verifier': S})
  assert costs.spread == pytest.approx(1)


def test_missing_parts_are_added_and_old_ones_stay(pair):
  known = costs_lib.Costs(
    drafter_step=70.0,
    verifier_block={1: 71.0, 16: 72.0},
    prefill={4: {'drafter': 73.0}, 64: {'drafter': 74.0}},
    spread=3.5,
  )
  widths = 1, 3
  grown = costs_lib.costs(
    pair, _prompts(4, 8), widths, new_tokens=8, rounds=2, known=known
  )
  assert grown.drafter_step == 70.0
  assert grown.verifier_block == _near({1: 71.0, 16: 72.0, 3: 30})
  assert grown.prefill.keys() == {4, 8, 64}
  assert grown.prefill[4] == _near({'drafter': 73.0, 'verifier': 4})
  assert grown.prefill[8] == _near({'drafter': 0.8, 'verifier': 8})
  assert grown.prefill[64] == {'drafter': 74.0}
  assert grown.spread == 3.5
  assert not any(ms == 10 for ms in pair.drafter.traced)  # No step of it.

  traced = len(pair.drafter.traced), len(pair.verifier.traced)
  again = costs_lib.costs(
    pair, _prompts(4, 8), widths, new_tokens=8, rounds=2, known=grown
  )
  assert again == grown
  assert traced == (len(pair.drafter.traced), len(pair.verifier.traced))


def test_one_program_takes_any_number_of_turns(pair):
  loops = parts.blocks(pair, _prompts(4)[0], (1,), 8)
  loops |= parts.prefills(pair, _prompts(4), 8, 1)
  for loop in loops.values():
    loop.run(loop.start(), 0)
  compiled = {name: loop.run.args[0] for name, loop in loops.items()}
  programs = {name: run._cache_size() for name, run in compiled.items()}
  turns.measure(loops, rounds=2, least=4)
  assert programs == dict.fromkeys(loops, 1)
  for name, run in compiled.items():
    assert run._cache_size() == 1, name
