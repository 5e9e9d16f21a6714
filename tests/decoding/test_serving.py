"""A queue that is decoded in calls: what each tells, and when it is read."""

import dataclasses

import jax
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue, schedules, serving
from speccascade.models import registry, split
from tests.decoding import tiny
from tests.decoding.test_slots import GAMMA, GEMMA, P, _answers, _loop, _queue

pytestmark = pytest.mark.usefixtures('float64', 'few_widths')

_OTHERS = 'fixed', 'adaptive'


def test_the_device_does_not_wait_for_who_reads(monkeypatch):
  """A call follows before what the one before told is read, and one the last.

  What is read is of that call though the next has spent its state.
  """
  order, advance, read = [], serving.advance, serving.read
  monkeypatch.setattr(
    serving, 'advance', lambda *args: [order.append('a'), advance(*args)][1]
  )
  monkeypatch.setattr(
    serving, 'read', lambda *args: [order.append('r'), read(*args)][1]
  )
  items = [(p, (), 1.0) for p in range(P)]
  group = loop_lib.Group(methods.STRICT, 3)
  made = queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 8, 3)
  wanted = _queue(GEMMA, (_answers(items, 0),))
  ended = list(serving.serve(made, GEMMA.params, wanted, 7))
  assert len(ended) > 2
  assert ''.join(order) == 'a' + 'ar' * (len(order) // 2)
  assert sorted(i for x in ended for i in x.ids.tolist()) == list(range(P))
  assert [x.idle for x in ended] == [False] * (len(ended) - 1) + [True]
  turns = [x.turn for x in ended]
  assert turns == sorted(set(turns))
  state, alone = None, []
  while state is None or not serving.idle(state, wanted):
    state, own = serving.step(made, GEMMA.params, wanted, 7, state)
    alone.append(own)
  for got, own in zip(ended, (x for x in alone if len(x.ids)), strict=True):
    jax.tree.map(np.testing.assert_array_equal, got, own)


@pytest.mark.parametrize('table', [3, 4])
def test_a_table_that_fills_each_turn_loses_nothing(table):
  """An answer is one block long: all slots end in each turn."""
  items = [(p, (), 1.0) for p in range(P)]
  group = loop_lib.Group(methods.STRICT, 3)
  loop = dataclasses.replace(_loop(GEMMA, (group,)), max_new_tokens=1)
  made = queue.Slots(loop, 3, tiny.S, 4, 8, table)
  wanted = _queue(GEMMA, (_answers(items, 0),))
  ended = list(serving.serve(made, GEMMA.params, wanted, 7))
  assert [i for x in ended for i in x.ids.tolist()] == list(range(P))
  assert max(len(x.ids) for x in ended) == 3
  for x in ended:
    np.testing.assert_array_equal(x.ended, x.begun + 1)


def test_prompts_may_come_late():
  """What is there is decoded; the rest when it is told to be there."""
  items = [(p, (), 0.0) for p in range(P)]
  group = loop_lib.Group(methods.STRICT, 3)
  made = queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 8, 3)
  all_of = _queue(GEMMA, (_answers(items, 0),))
  state, found = None, set()
  for there in (5, 6, P):
    own = all_of.answers[0].replace(number=np.int32(there))
    wanted = all_of.replace(number=np.int32(there), answers=(own,))
    while True:
      state, ended = serving.step(made, GEMMA.params, wanted, 7, state)
      found |= set(ended.ids.tolist())
      if serving.idle(state, wanted):
        break
    assert found == set(range(there))


def test_a_fault_is_told_by_example():
  params = jax.tree.map(np.copy, GEMMA.params)
  params[1]['final_norm']['scale'] *= np.nan
  items = [(p, (), 0.0) for p in range(P)]
  group = loop_lib.Group(methods.STRICT, 3)
  made = queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 8, 3)
  with pytest.raises(ValueError, match='the verifier gave NaN .* example 10'):
    list(serving.serve(made, params, _queue(GEMMA, (_answers(items, 0),))))


@pytest.mark.parametrize(
  'name',
  [
    'cost',
    'load',
    *(pytest.param(x, marks=pytest.mark.thorough) for x in _OTHERS),
  ],
)
def test_one_program_serves_all_calls(name):
  schedule = schedules.get(name)
  group = loop_lib.Group(methods.STRICT, 3)
  loop = dataclasses.replace(_loop(GEMMA, (group,)), schedule=schedule)
  made = queue.Slots(loop, 3, tiny.S, 4, 8, 3)
  wanted = _queue(GEMMA, (_answers([(p, (), 0.0) for p in range(P)], 0),))
  costs = GAMMA + 1 + (schedule.begin is not None)
  before, state = serving.go_on._cache_size(), None
  for dear in (1.0, 1e3, 1e-3):
    if schedule.measured:  # The first is what drafts nothing costs, of `load`.
      cost_A = np.array([dear, *np.arange(1.0, costs)])
      wanted = wanted.replace(schedule_parameter=cost_A)
    state, _ = serving.step(made, GEMMA.params, wanted, 2, state)
  assert serving.go_on._cache_size() <= before + 1


@pytest.mark.skipif(jax.device_count() < 4, reason='needs 4 devices')
@pytest.mark.parametrize(
  ('shape', 'devices'), [((2, 2), None), ((2, 2), 1), ((1, 1), None)]
)
def test_one_program_serves_all_calls_on_a_mesh(shape, devices):
  """What a call leaves is divided as what the first was given.

  A drafter's cache, too, which is divided as few devices split the drafter.
  Tokens are those of one device.
  """
  mesh = sharding.make_mesh(*shape, jax.devices()[: shape[0] * shape[1]])
  partition = registry.family_of(GEMMA.drafter.config).partition

  def place(x, devices):
    with sharding.split_by(devices):
      placed = sharding.parameter_shardings(x, mesh, partition)
    return jax.device_put(x, placed)

  params = place(GEMMA.params[0], devices), place(GEMMA.params[1], None)
  loop = _loop(GEMMA, (loop_lib.Group(methods.STRICT, 4),))
  made = queue.Slots(loop, 4, tiny.S, 4, 8, 4)
  wanted = _queue(GEMMA, (_answers([(p, (), 1.0) for p in range(P)], 0),))
  want = _tokens(serving.serve(made, GEMMA.params, wanted))
  loop = dataclasses.replace(loop, drafter=split.over(loop.drafter, devices))
  made = dataclasses.replace(made, decoder=loop)
  before, state, ended = serving.go_on._cache_size(), None, []
  while state is None or not serving.idle(state, wanted):
    state, own = serving.step(made, params, wanted, 2, state)
    ended.append(own)
  assert len(ended) > 2
  assert serving.go_on._cache_size() == before + 1
  assert _tokens(ended) == want
  assert len(want) == P
  keys_LxBxKxSxH = state.rows.drafter_cache.keys[0]
  with sharding.split_by(devices):
    own = sharding.fit(sharding.CACHE, keys_LxBxKxSxH.shape, mesh)
  if mesh.size > 1:
    assert (own[2] is None) == (devices == 1)
  placed = jax.NamedSharding(mesh, own)
  assert keys_LxBxKxSxH.sharding.is_equivalent_to(placed, 5)


def _tokens(ended):
  """{id: what was written} of all answers."""
  return {
    id_: token_N[:length].tolist()
    for x in ended
    for id_, token_N, length in zip(
      x.ids.tolist(), x.result.token_BxN, x.result.length_B, strict=True
    )
  }
