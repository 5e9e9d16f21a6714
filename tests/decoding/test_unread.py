"""A drafter that would not draft leaves prompts out; their rows never draft."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import blocks, queue, results, schedules, serving
from speccascade.decoding import loop as loop_lib
from speccascade.sampling import keys, probabilities
from tests.decoding import test_load, test_slots, tiny

pytestmark = pytest.mark.usefixtures('float64', 'few_widths')

ROWS = 3


@dataclasses.dataclass(frozen=True)
class Sometimes(test_load.Now):
  """Drafts in all blocks; reads what comes in some turns, at first none.

  Its parameter tells in how many at a time; 0 for all.
  """

  def hopes(self, period, state):
    return (period == 0) | (state // jnp.maximum(period, 1) % 2 == 1)

  def begin(self, parameter, state, *of_rows):
    return state + 1, jnp.bool_(True)


def _items(temperature=0.0):
  return [(p, (), temperature) for p in range(test_slots.P)]


def _serve(
  pair, schedule, items, parameter=(), params=None, method=methods.STRICT
):
  """({prompt: its row of the Result}, the last state)."""
  group = loop_lib.Group(method, ROWS)
  loop = dataclasses.replace(
    test_slots._loop(pair, (group,)), schedule=schedule
  )
  made = queue.Slots(loop, ROWS, tiny.S, 2, 4, 2 * ROWS)
  asked = test_slots._queue(pair, (test_slots._answers(items, 0),))
  asked = asked.replace(schedule_parameter=parameter)
  state, found = None, {}
  while state is None or not serving.idle(state, asked):
    state, ended = serving.step(made, params or pair.params, asked, 7, state)
    for row, id_ in enumerate(ended.ids.tolist()):
      found[id_] = jax.tree.map(lambda x, r=row: x[r], ended.result)
  assert len(found) == len(items)
  return found, state


@functools.cache
def _served(name, schedule, method='strict', temperature=0.0, parameter=()):
  """{prompt: its row} of a pair, for several tests."""
  pair, items = test_slots.PAIRS[name], _items(temperature)
  own = methods.get(method)
  return _serve(pair, schedule, items, parameter, method=own)[0]


def _assert_same_tokens(got, want):
  for id_, row in want.items():
    np.testing.assert_array_equal(got[id_].token_BxN, row.token_BxN)
    np.testing.assert_array_equal(got[id_].length_B, row.length_B)


def _halves(pair, schedule):
  """(Loop, params, Request, state) of a verifier twice; some rows may draft."""
  model = pair.verifier
  params = (jax.tree.map(jnp.asarray, pair.params[1]),) * 2
  B = test_slots.P
  group = loop_lib.Group(methods.STRICT, B)
  twins = dataclasses.replace(pair, drafter=model, params=params)
  loop = dataclasses.replace(
    test_slots._loop(twins, (group,)), schedule=schedule
  )
  prompts = results.Prompts(
    test_slots._tokens(pair), test_slots.LENGTH_P, test_slots.EXAMPLE_P
  )
  sampling = probabilities.Sampling(np.zeros(B), np.ones(B))
  asked = results.Request(prompts, sampling, ((),), keys.make(0))
  state = jax.jit(loop_lib.init, static_argnums=0)(loop, params, asked)
  if schedule.begin is not None:
    state = state.replace(able_B=jnp.arange(B) % 2 == 0)
  return loop, params, asked, state


@pytest.mark.parametrize('name', test_slots.PAIRS)
def test_a_token_is_the_verifiers_where_the_drafter_would_write_it_too(name):
  """All of q lies where p does, and leaves nothing to draw from: p is taken."""
  tokens = []
  for schedule in (schedules.FIXED, Sometimes()):
    loop, params, asked, state = _halves(test_slots.PAIRS[name], schedule)
    u_BxMxU = loop_lib.uniforms(loop, asked)
    step = jax.jit(
      lambda state, loop=loop, params=params, asked=asked, u=u_BxMxU: (
        loop_lib.iterate(loop, params, asked, u, state)
      )
    )
    while not state.done_B.all():
      state = step(state)
    tokens.append(loop_lib.result(loop, state))
  np.testing.assert_array_equal(tokens[0].token_BxN, tokens[1].token_BxN)
  drafted_B = np.asarray(tokens[1].counts.drafted_B)
  np.testing.assert_array_equal(
    drafted_B > 0, np.arange(len(drafted_B)) % 2 == 0
  )


def test_what_is_not_finite_is_of_rows_that_draft():
  loop, params, asked, state = _halves(test_slots.GEMMA, Sometimes())
  bad = jax.tree.map(lambda x: x * np.nan, params[0]), params[1]
  u_BxMxU, able_B = loop_lib.uniforms(loop, asked), state.able_B
  finite = jax.jit(lambda *args: blocks.decide(loop, *args)[3])(
    bad, asked, u_BxMxU, state, able_B
  )
  finite_BxG = np.asarray(finite['drafter'])
  assert finite_BxG[~able_B].all()
  assert not finite_BxG[able_B, 0].any()


@pytest.mark.parametrize(
  ('name', 'temperature'), [('strict', 0.0), ('drafter_invariant', 1.0)]
)
def test_a_drafter_that_never_pays_computes_nothing(name, temperature):
  """One of NaN alone leaves none in any cache."""
  pair, method = test_slots.GEMMA, methods.get(name)
  items = _items(temperature)
  fixed = _served('gemma', schedules.FIXED, name, temperature)
  drafter = jax.tree.map(lambda x: x * np.nan, pair.params[0])
  found, state = _serve(
    pair,
    schedules.LOAD,
    items,
    test_load.NEVER,
    (drafter, pair.params[1]),
    method,
  )
  _assert_same_tokens(found, fixed)
  for cache in (state.reader[0], state.store[0], state.rows.drafter_cache):
    assert not any(np.asarray(x).any() for x in cache.keys)
  assert not np.asarray(state.has_read[0]).any()


@pytest.mark.parametrize(
  ('name', 'values', 'temperature'),
  [('strict', (), 1.0), ('token_v3', (0.3,), 0.0)],
)
def test_all_prompts_are_read_where_a_token_hangs_on_the_draft(
  name, values, temperature
):
  """One answer in the queue is at a temperature, or a rule asks the drafter."""
  pair, method = test_slots.GEMMA, methods.get(name)
  items = [
    (p, values, temperature * (p == test_slots.P - 1))
    for p in range(test_slots.P)
  ]
  fixed, _ = _serve(pair, schedules.FIXED, items, method=method)
  found, state = _serve(pair, Sometimes(), items, 10**6, method=method)
  _assert_same_tokens(found, fixed)
  assert all(row.counts.drafted_B > 0 for row in found.values())
  read_N, _ = state.has_read  # None where it reads all, whatever is asked.
  assert read_N is None if name == 'token_v3' else np.asarray(read_N).all()


@pytest.mark.parametrize('mesh', [(2, 4)])
def test_a_mesh_leaves_out_as_much(mesh):
  pair, own = test_slots.GEMMA, sharding.make_mesh(*mesh)
  alone, state = _serve(pair, Sometimes(), _items(), 4)
  params = test_slots.placed(pair, own)
  found, on_mesh = _serve(pair, Sometimes(), _items(), 4, params)
  for id_, row in alone.items():
    np.testing.assert_array_equal(found[id_].token_BxN, row.token_BxN)
    np.testing.assert_array_equal(
      found[id_].counts.drafted_B, row.counts.drafted_B
    )
  np.testing.assert_array_equal(on_mesh.has_read[0], state.has_read[0])


@pytest.mark.parametrize(
  ('name', 'period', 'method', 'temperature'),
  [
    ('gemma', 4, 'strict', 0.0),
    ('gemma', 2, 'drafter_invariant', 1.0),
    pytest.param('t5', 4, 'strict', 0.0, marks=pytest.mark.thorough),
    ('gemma', 1, 'strict', 0.0),  # Last: it forgets the programs.
  ],
)
def test_rows_that_draft_stand_beside_rows_that_cannot(
  name, period, method, temperature, request
):
  """Were each prompt wanted in another turn, a page is as it was begun."""
  fixed = _served(name, schedules.FIXED, method, temperature)
  drafted = _served(name, Sometimes(), method, temperature, 0)
  if period == 1:
    request.getfixturevalue('short_chunks')
  pair, items = test_slots.PAIRS[name], _items(temperature)
  found, _ = _serve(
    pair, Sometimes(), items, period, method=methods.get(method)
  )
  _assert_same_tokens(found, fixed)
  some = [id_ for id_, row in found.items() if row.counts.drafted_B]
  none = [row for row in found.values() if not row.counts.drafted_B]
  assert len(some) >= 2
  assert len(none) >= ROWS  # The first ones.
  for row in none:
    assert row.counts.verifier_calls_B == row.length_B
    assert row.counts.accepted_B == 0
    assert row.counts.rejected_B == row.length_B
    assert not row.from_drafter_BxN.any()
  for id_ in some:  # Its drafter has read all of its prompt.
    jax.tree.map(
      np.testing.assert_array_equal, found[id_].counts, drafted[id_].counts
    )
