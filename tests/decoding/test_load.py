"""Drafting by the load: what pays a batch, and blocks without a draft."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import (
  blocks,
  queue,
  results,
  schedules,
  serving,
)
from speccascade.decoding import loop as loop_lib
from speccascade.sampling import keys, probabilities
from tests.decoding import test_slots, test_t5_pair, tiny

pytestmark = pytest.mark.usefixtures('float64', 'few_widths')

GAMMA = 3
G = GAMMA + 1
NEVER = np.array([1e-6, *[1.0] * G])  # Costs of 0 to G tokens.
ALWAYS = np.array([1e6, *[1.0] * G])


@dataclasses.dataclass(frozen=True)
class Now:
  """Drafts G tokens in some blocks and none in others, in turns of its own.

  Its parameter tells how many of each: one program does for all.
  """

  swept = False
  measured = False

  def init(self, parameter, B, G):
    return jnp.int32(0)

  def hopes(self, parameter, state):
    return True

  def begin(self, parameter, state, active_B, able_B, behind):
    return state + 1, state % (parameter[0] + parameter[1]) < parameter[0]

  def more(self, parameter, state, drafted, confidence_BxG):
    return jnp.ones(len(confidence_BxG), bool)

  def update(self, parameter, state, drafted_B, accepted_B, confidence_BxG):
    return state

  def check(self, parameter, gamma, rows):
    pass


TURNS = np.array([2, 3])


def _decode(schedule, temperature=0.0, names=('strict',), parameter=(), **more):
  """Observed without a schedule: what is observed changes no token."""
  observe = tiny.observe if schedule is schedules.FIXED else None
  loop = tiny.make_loop(GAMMA, names, schedule=schedule, observe=observe)
  asked = tiny.request(names, temperature, schedule_parameter=parameter)
  return jax.device_get(
    loop_lib.decode(loop, tiny.params(), asked.replace(**more))
  )


@functools.cache
def _fixed(temperature=0.0, names=('strict',)):
  return _decode(schedules.FIXED, temperature, names)


def _shapes(jaxpr):
  """Of all that an iteration makes, whatever its loops do."""
  for eqn in jaxpr.eqns:
    if 'jaxpr' in eqn.params:
      yield from _shapes(eqn.params['jaxpr'].jaxpr)
    yield from (x.aval.shape for x in eqn.outvars)


def test_a_turn_without_a_draft_makes_no_room_for_one():
  params, made = tiny.params(), []
  for schedule, parameter in ((schedules.ADAPTIVE, ()), (Now(), TURNS)):
    asked = tiny.request(('strict',), 0.0, schedule_parameter=parameter)
    loop = tiny.make_loop(GAMMA, ('strict',), schedule=schedule)
    u_BxMxU = loop_lib.uniforms(loop, asked)
    state = jax.eval_shape(
      functools.partial(loop_lib.init, loop), params, asked
    )
    iterate = functools.partial(loop_lib.iterate, loop)
    jaxpr = jax.make_jaxpr(iterate)(params, asked, u_BxMxU, state)
    made.append(set(_shapes(jaxpr.jaxpr)))
  room = {(G, tiny.ROWS, 32), (tiny.ROWS, G, 32)}
  assert room & made[0]
  assert not room & made[1]


def test_what_is_observed_is_of_blocks_without_a_draft_too():
  loop = tiny.make_loop(
    GAMMA, ('strict',), schedule=Now(), observe=tiny.observe
  )
  asked = tiny.request(('strict',), 0.0, schedule_parameter=TURNS)
  found = jax.device_get(loop_lib.decode(loop, tiny.params(), asked))
  told = [x.observed['best_p'] for x in (_fixed(), found)]
  assert (told[0] > 0).any()
  np.testing.assert_allclose(*told, rtol=0, atol=1e-12)


def test_a_block_without_a_draft_is_not_sampled_from(monkeypatch):
  """The largest of its logits is taken, unless somebody looks on.

  Of equal ones that is the first, as of a distribution.
  """
  drafter, verifier = tiny.params()
  alike = np.arange(tiny.VERIFIER.vocab_size) // 2 * 2  # 2i and 2i + 1.
  verifier = verifier | {'embedding': verifier['embedding'][alike]}
  asked = tiny.request(('strict',), 0.0, schedule_parameter=NEVER)
  told, called, greedy = [], [], blocks._greedy
  monkeypatch.setattr(
    blocks, '_greedy', lambda *args: [called.append(args), greedy(*args)][1]
  )
  for observe in (tiny.observe, None):
    assert not called
    loop = tiny.make_loop(
      GAMMA, ('strict',), schedule=schedules.LOAD, observe=observe
    )
    found = loop_lib.decode(loop, (drafter, verifier), asked)
    told.append(jax.device_get(found.replace(observed={})))
  assert called
  assert (told[0].token_BxN % 2 == 0).all()
  assert told[0].token_BxN.any()
  assert not told[0].counts.drafted_B.any()
  jax.tree.map(np.testing.assert_array_equal, *told)


def _assert_same_tokens(a, b):
  np.testing.assert_array_equal(a.token_BxN, b.token_BxN)
  np.testing.assert_array_equal(a.length_B, b.length_B)


@pytest.mark.parametrize(('on', 'off'), [TURNS, (0, 1)])
def test_blocks_without_a_draft_give_the_same_tokens(on, off):
  """Of models whose caches are rings, longer than which a drafter lags."""
  result = _decode(Now(), parameter=np.array([on, off]))
  _assert_same_tokens(result, _fixed())
  c = result.counts
  np.testing.assert_array_equal(c.accepted_B + c.rejected_B, result.length_B)
  np.testing.assert_array_equal(c.accepted_B, result.from_drafter_BxN.sum(1))
  assert (c.accepted_B <= c.drafted_B).all()
  assert (c.verifier_calls_B >= _fixed().counts.verifier_calls_B).all()
  if on:
    assert c.accepted_B.sum() > 0
  else:
    np.testing.assert_array_equal(c.verifier_calls_B, result.length_B)
    assert not c.drafted_B.any()
    assert not c.deferred_B.any()
    assert not c.divergence_B.any()


TWINS = {
  'gemma': (tiny.VERIFIER, tiny.params()[1], tiny.prompts(), tiny.N),
  't5': (
    test_t5_pair.VERIFIER,
    test_t5_pair._params()[1],
    test_t5_pair._prompts(),
    test_t5_pair.N,
  ),
}


@pytest.mark.parametrize(
  ('name', 'off', 'calls'),
  [('gemma', 3, 13), ('gemma', 9, 18), ('t5', 1, None)],
)
def test_a_drafter_that_lagged_has_read_all_it_missed(name, off, calls):
  """One that is the verifier's twin is accepted whole whenever it drafts.

  24 tokens, of which a draft writes 4 and another block one.
  """
  model, params, prompts, N = TWINS[name]
  rows = prompts.rows
  asked = results.Request(
    prompts,
    probabilities.Sampling(np.zeros(rows), np.ones(rows)),
    ((),),
    keys.make(0),
  )
  made = []
  for own, parameter in ((schedules.FIXED, ()), (Now(), np.array([1, off]))):
    group = loop_lib.Group(methods.STRICT, rows)
    loop = loop_lib.Loop(model, model, GAMMA, N, (99,), (group,), own)
    asked = asked.replace(schedule_parameter=parameter)
    made.append(jax.device_get(loop_lib.decode(loop, (params,) * 2, asked)))
  _assert_same_tokens(*made)
  np.testing.assert_array_equal(made[1].length_B, N)
  lengths_BxA = made[1].counts.accepted_lengths_BxA
  assert (lengths_BxA[:, 0] > 0).all()
  assert (lengths_BxA[:, G] > 0).all()
  assert (lengths_BxA[:, 1:G].sum(1) <= 1).all()  # What N cuts.
  if calls is not None:
    np.testing.assert_array_equal(lengths_BxA.sum(1), calls)


def test_drafts_that_do_not_pay_are_left_out_and_others_are_not():
  never = _decode(schedules.LOAD, parameter=NEVER).counts
  assert not never.drafted_B.any()
  always = _decode(schedules.LOAD, parameter=ALWAYS)
  _assert_same_tokens(always, _fixed())
  assert (always.counts.drafted_B >= always.length_B).all()


@pytest.mark.parametrize(
  ('temperature', 'names'),
  [
    (0.0, ('strict', 'token_v3')),
    (1.0, ('strict', 'drafter_invariant')),  # For those of the first.
  ],
)
def test_a_token_that_hangs_on_the_draft_has_one(temperature, names):
  """At a temperature, and under a rule that asks the drafter."""
  result = _decode(schedules.LOAD, temperature, names, NEVER)
  _assert_same_tokens(result, _fixed(temperature, names))
  counts = result.counts
  assert (counts.drafted_B >= counts.verifier_calls_B).all()


def test_an_invariant_token_has_a_draft_where_that_pays():
  """At any temperature, beside rows of another method that are greedy."""
  names = 'strict', 'drafter_invariant'
  sampling = tiny.sampling(None, len(names))
  sampling.temperature_B[: tiny.ROWS] = 0
  fixed = _decode(schedules.FIXED, names=names, sampling=sampling)
  found = {
    name: _decode(own, names=names, parameter=parameter, sampling=sampling)
    for name, own, parameter in (
      ('never', schedules.LOAD, NEVER),
      ('always', schedules.LOAD, ALWAYS),
      ('turns', Now(), TURNS),
    )
  }
  for own in found.values():
    _assert_same_tokens(own, fixed)
  assert not found['never'].counts.drafted_B.any()
  # Of a token of number 0, too, with which what was not drafted is filled.
  assert not found['never'].counts.accepted_B.any()
  drafted, calls = (
    {name: getattr(own.counts, of).sum() for name, own in found.items()}
    for of in ('drafted_B', 'verifier_calls_B')
  )
  assert drafted['always'] > drafted['turns'] > 0
  assert calls['never'] > calls['turns'] > calls['always']


def test_a_row_at_a_temperature_has_the_others_draft_until_it_ends():
  mixed = np.zeros(tiny.ROWS)
  mixed[3] = 1.0
  sampling = probabilities.Sampling(mixed, np.ones(tiny.ROWS))
  cost_A = np.array([1e-6, 1, 100, 200, 300])  # One token, if any.
  result = _decode(schedules.LOAD, parameter=cost_A, sampling=sampling)
  fixed = _decode(schedules.FIXED, sampling=sampling)
  _assert_same_tokens(result, fixed)
  drafted_B, calls_B = result.counts.drafted_B, result.counts.verifier_calls_B
  assert drafted_B[3] >= calls_B[3]
  longer = result.length_B > result.length_B[3]
  assert longer.any()
  assert (drafted_B[longer] < calls_B[longer]).all()


def test_slots_carry_on_what_the_batch_has_seen():
  pair = test_slots.GEMMA
  items = [(p, (), 0.0) for p in range(test_slots.P)] * 2
  items.sort(key=lambda item: item[0])
  answers = test_slots._answers(items, 0)
  wanted, seen = {}, {}
  for name, schedule, parameter in (
    ('fixed', schedules.FIXED, ()),
    ('turns', Now(), TURNS),
    ('load', schedules.LOAD, 1 + 0.1 * np.arange(G + 1)),
  ):
    group = loop_lib.Group(methods.STRICT, 3)
    loop = dataclasses.replace(
      test_slots._loop(pair, (group,)), schedule=schedule
    )
    made = queue.Slots(loop, 3, tiny.S, 4, 8, 6)
    asked = test_slots._queue(pair, (answers,))
    asked = asked.replace(schedule_parameter=parameter)
    state, found = None, {}
    while state is None or not serving.idle(state, asked):
      state, ended = serving.step(made, pair.params, asked, 7, state)
      for j, id_ in enumerate(ended.ids):
        row = tiny.row(ended.result, j)
        found[int(id_)] = row.token_BxN[: int(row.length_B)].tolist()
    wanted[name], seen[name] = found, state.rows.schedule
  assert wanted['fixed'] == wanted['turns'] == wanted['load']
  assert len(wanted['fixed']) == len(items)
  # More than the rows that are there have seen: the batch remembers.
  assert seen['load'].verified > seen['load'].verified_B.sum()
  assert seen['load'].rejected > 0
