"""Branches: each setting's answer is its lone one, however they share slots."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import (
  branches,
  defer,
  queue,
  results,
  schedules,
  serving,
)
from speccascade.decoding import loop as loop_lib
from speccascade.rules import base
from speccascade.sampling import keys, probabilities
from tests.decoding import test_slots, tiny

pytestmark = pytest.mark.usefixtures('float64', 'few_widths')

W = 8  # Branches of a slot; some have fewer.
P = test_slots.P
TEMPERATURES = 0.0, 1.0
SLOTS = {'strict': 1, 'token_v3': 2, 'chow': 2, 'lossy_beta': 3, 'bild': 2}

_FEW = (
  ('strict', 'gemma', 'fixed'),
  ('lossy_beta', 'gemma', 'fixed'),
  ('token_v3', 'gemma', 'adaptive'),
  ('bild', 't5', 'fixed'),
)


def _points(name):
  """Values of the branches of a slot, fewer than it may have."""
  ranges = [
    np.linspace(x.examples[0], x.examples[-1], W - 2)
    for x in methods.get(name).parameters
  ]
  return list(zip(*ranges, strict=True)) or [()]


def _loop(pair, groups, schedule):
  loop = test_slots._loop(pair, groups)
  return dataclasses.replace(loop, schedule=schedules.get(schedule))


def _parameter(schedule):
  return {
    'cost': np.arange(1.0, test_slots.GAMMA + 2),
    'confidence': np.float64(0.4),
  }.get(schedule, ())


def _asked(name, first, items):
  """queue.Answers of bundles, in any order of their values."""
  points, rng = _points(name), np.random.default_rng(first)
  values = np.array([rng.permutation(points) for _ in items])
  J, number = len(items), len(points)
  values = np.pad(
    values.reshape(J, number, -1),
    ((0, 0), (0, W - number), (0, 0)),
    mode='edge',
  )
  own = queue.Answers(
    id_J=np.arange(first, first + J, dtype=np.int32),
    prompt_J=np.array([p for p, _ in items], np.int32),
    sample_J=np.zeros(J, np.int32),
    temperature_J=np.array([t for _, t in items]),
    top_p_J=np.ones(J),
    values=(np.full(J, number), *np.moveaxis(values, -1, 0)),
    number=np.int32(J),
  )
  return own, values[:, :number]


def _served(pair, schedule, names, slots=None):
  """({(method, prompt, values, temperature): row}, turns)."""
  answers, told, first = [], [], 0
  for name in names:
    items = [(p, t) for p in range(P) for t in TEMPERATURES]
    own, values = _asked(name, first, items)
    answers.append(own)
    told += [(name, *x) for x in zip(items, values, strict=True)]
    first += len(items)
  slots = slots or [SLOTS[name] for name in names]
  groups = tuple(
    loop_lib.Group(methods.get(name), rows)
    for name, rows in zip(names, slots, strict=True)
  )
  decoder = branches.Branches(_loop(pair, groups, schedule), W)
  made = queue.Slots(decoder, sum(slots), tiny.S, 2, 4, sum(slots) + 1)
  asked = test_slots._queue(pair, tuple(answers)).replace(
    schedule_parameter=_parameter(schedule)
  )
  found = {}
  for ended in serving.serve(made, pair.params, asked, 10):
    for n, id_ in enumerate(ended.ids.tolist()):
      name, (p, t), values = told[id_]
      for w, value in enumerate(values.tolist()):
        row = jax.tree.map(lambda x, n=n, w=w: x[n, w], ended.result)
        found[name, p, tuple(value), t] = row
  assert len(found) == sum(len(x) for *_, x in told)
  return found, ended.turn


def _alone(pair, schedule, method, values, temperature, gamma=test_slots.GAMMA):
  request = results.Request(
    results.Prompts(
      test_slots._tokens(pair), test_slots.LENGTH_P, test_slots.EXAMPLE_P
    ),
    probabilities.Sampling(np.full(P, temperature), np.ones(P)),
    (tuple(np.full(P, x) for x in values),),
    keys.make(tiny.SEED),
    _parameter(schedule),
  )
  loop = _loop(pair, (loop_lib.Group(method, P),), schedule)
  loop = dataclasses.replace(loop, gamma=gamma)
  return jax.device_get(loop_lib.decode(loop, pair.params, request))


@functools.cache
def _all(pair, schedule):
  with jax.enable_x64(True):
    return _served(test_slots.PAIRS[pair], schedule, list(SLOTS))


@pytest.mark.parametrize(
  ('name', 'pair', 'schedule'),
  [
    pytest.param(
      name, *x, marks=[pytest.mark.thorough] * ((name, *x) not in _FEW)
    )
    for name in SLOTS
    for x in (
      ('gemma', 'fixed'),  # Whose caches are rings.
      ('gemma', 'adaptive'),
      ('gemma', 'confidence'),
      ('gemma', 'cost'),
      ('t5', 'fixed'),
    )
  ],
)
def test_an_answer_is_that_of_a_lone_run(pair, schedule, name):
  found, _ = _all(pair, schedule)
  for values in _points(name):
    for temperature in TEMPERATURES:
      own = test_slots.PAIRS[pair]
      want = _alone(own, schedule, methods.get(name), values, temperature)
      for p in range(P):
        test_slots._equal(
          found[name, p, tuple(map(float, values)), temperature],
          jax.tree.map(lambda x, p=p: np.asarray(x)[p], want),
        )


def test_a_ring_holds_what_a_branch_that_waits_looks_back_on():
  """Answers as long as may be, where a ring is no larger than it must be."""
  pair, name = test_slots.GEMMA, 'token_v3'
  pair = dataclasses.replace(pair, most=22, eos=pair.vocab)
  alphas = np.linspace(0.05, 0.9, W)
  own = queue.Answers(
    *[np.arange(P, dtype=np.int32)] * 2, np.zeros(P, np.int32), np.ones(P),
    np.ones(P), (np.full(P, W), np.tile(alphas, (P, 1))), np.int32(P),
  )  # fmt: skip
  method = methods.get(name)
  loop = _loop(pair, (loop_lib.Group(method, 3),), 'fixed')
  loop = dataclasses.replace(loop, gamma=8)
  made = queue.Slots(branches.Branches(loop, W), 3, tiny.S, 2, 4, 4)
  asked = test_slots._queue(pair, (own,))
  each = [_alone(pair, 'fixed', method, (x,), 1.0, 8) for x in alphas]
  want = jax.tree.map(lambda *x: np.stack(x, 1), *each)
  told = []
  for ended in serving.serve(made, pair.params, asked, 10):
    told += ended.ids.tolist()
    for n, p in enumerate(ended.ids.tolist()):
      got, own = (
        jax.tree.map(lambda x, at=at: np.asarray(x)[at], result)
        for result, at in ((ended.result, n), (want, p))
      )
      test_slots._equal(got, own)
  assert sorted(told) == list(range(P))


def test_what_settings_have_in_common_is_decoded_once():
  found, turns = _served(test_slots.GEMMA, 'fixed', ['token_v3'], [1])
  calls, shared = 0, {}
  for (_, p, _, t), row in found.items():
    calls += int(row.counts.verifier_calls_B)
    shared.setdefault((p, t), set()).add(tuple(row.token_BxN.tolist()))
  distinct = sum(map(len, shared.values()))
  assert distinct < len(found)  # Else there is nothing to share,
  assert distinct > len(shared)  # and nothing that tells branches apart.
  # Answers that differ share what comes before they do.
  each = calls / len(found)
  assert turns < each * distinct + len(shared)


@dataclasses.dataclass(frozen=True)
class _Equal:
  """Writes what was drafted; the last of it counts as rejected or not."""

  name = 'equal'
  parameters = (base.Parameter('alpha', 0.0, 1.0),)
  lossless = False
  invariant = False

  def defer(self, draft, verified, values, u_BxGxU):
    """See `defer.Defers`."""
    del u_BxGxU
    kept_B = draft.length_B - (values[0] < 0.5)
    return defer.Outcome(
      draft.token_BxG, jnp.maximum(kept_B, 0), verified.p_BxGxV
    )


def test_equal_tokens_of_unlike_schedules_part():
  """The schedule drafts on after one outcome and less after the other."""
  pair = dataclasses.replace(test_slots.GEMMA, eos=test_slots.GEMMA.vocab)
  schedule = 'adaptive'
  values = np.array([[0.0, 1.0]] * P)
  own = queue.Answers(
    *[np.arange(P, dtype=np.int32)] * 2, np.zeros(P, np.int32), np.ones(P),
    np.ones(P), (np.full(P, 2), values), np.int32(P),
  )  # fmt: skip
  group = loop_lib.Group(_Equal(), 3)
  decoder = branches.Branches(_loop(pair, (group,), schedule), 2)
  made = queue.Slots(decoder, 3, tiny.S, 2, 4, 4)
  asked = test_slots._queue(pair, (own,))
  found = {
    id_: jax.tree.map(lambda x, n=n: x[n], ended.result)
    for ended in serving.serve(made, pair.params, asked, 10)
    for n, id_ in enumerate(ended.ids.tolist())
  }
  assert len(found) == P
  each = [_alone(pair, schedule, _Equal(), (x,), 1.0) for x in (0.0, 1.0)]
  for p, row in found.items():
    want = jax.tree.map(lambda *x, p=p: np.stack([y[p] for y in x]), *each)
    np.testing.assert_array_equal(*want.token_BxN)
    test_slots._equal(row, want)
  some, others = (x.counts.verifier_calls_B for x in each)
  assert (some != others).all()


@pytest.mark.thorough
def test_slots_change_no_answer():
  name = 'lossy_beta'
  one, _ = _served(test_slots.GEMMA, 'fixed', [name], [1])
  many, _ = _served(test_slots.GEMMA, 'fixed', [name], [7])
  for key, row in one.items():
    test_slots._equal(many[key], row)


def _made(**changes):
  group = loop_lib.Group(methods.get('token_v3'), 2)
  loop = _loop(test_slots.GEMMA, (group,), 'fixed')
  loop = dataclasses.replace(loop, **changes)
  decoder = branches.Branches(loop, W)
  return queue.Slots(decoder, 2, tiny.S, 2, 4, 3)


@pytest.mark.parametrize(
  ('values', 'line'),
  [
    ((np.array([0, 3]), np.ones((2, W))), '1 to 8 branches, got .0, 3'),
    ((np.array([9, 3]), np.ones((2, W))), '1 to 8 branches, got .9, 3'),
    ((np.array([2, 3]), np.ones(2)), 'needs shape'),
    ((np.array([2, 3]), np.full((2, W), 2.0)), 'token_v3'),
    ((np.array([2, 3]),), 'takes 1 parameters'),
  ],
)
def test_values_that_do_not_fit_are_refused(values, line):
  own, _ = _asked('token_v3', 0, [(0, 0.0), (1, 0.0)])
  asked = test_slots._queue(
    test_slots.GEMMA, (dataclasses.replace(own, values=values),)
  )
  with pytest.raises(ValueError, match=line):
    next(serving.serve(_made(), None, asked))


def test_a_schedule_of_the_whole_batch_is_refused():
  with pytest.raises(ValueError, match='weighs the rows of a batch'):
    _made(schedule=schedules.get('load'))


@pytest.mark.parametrize(
  ('role', 'schedule'),
  [
    ('verifier', 'fixed'),
    pytest.param('drafter', 'cost', marks=pytest.mark.thorough),
  ],
)
def test_a_fault_is_told_by_example(role, schedule):
  """What is not a number is never equal, so that no branch is alike."""
  pair = test_slots.GEMMA
  params = jax.tree.map(np.copy, pair.params)
  at = ('drafter', 'verifier').index(role)
  params[at]['final_norm']['scale'] *= np.nan
  own, _ = _asked('token_v3', 0, [(p, 0.0) for p in range(P)])
  asked = test_slots._queue(pair, (own,)).replace(
    schedule_parameter=_parameter(schedule)
  )
  made = _made(schedule=schedules.get(schedule))
  with pytest.raises(ValueError, match=f'the {role} gave NaN .* example 10'):
    list(serving.serve(made, params, asked))


def test_the_fault_told_is_the_first_of_any_branch():
  fault_BxW = np.array([[-1, 5, 3], [-1, -1, -1], [0, 2, -1]], np.int32)
  np.testing.assert_array_equal(serving._of_any_branch(fault_BxW), [3, -1, 0])
