"""Continuous batching: answers are those of lone runs, whatever the slots."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import (
  autoregressive,
  queue,
  results,
  serving,
  slots,
)
from speccascade.decoding import loop as loop_lib
from speccascade.models import registry
from speccascade.sampling import keys, probabilities
from tests.decoding import test_t5_pair, tiny

pytestmark = pytest.mark.usefixtures('float64')

GAMMA, P = 3, 11
LENGTH_P = np.array([1, 9, 4, 7, 2, 9, 5, 3, 6, 8, 1], np.int32)
EXAMPLE_P = np.arange(P, dtype=np.int32) + 100
# Points of each method, and its slots.
POINTS = {
  'strict': (((),), 2),
  'token_v3': (((0.1,), (0.5,)), 3),
  'lossy_beta': (((0.2, 0.5),), 1),
  'bild_rollback': (((1.0,),), 2),
}
TEMPERATURES = 0.0, 1.0


@dataclasses.dataclass(frozen=True)
class Pair:
  """Models, their parameters, and what ends an answer."""

  drafter: object
  verifier: object
  params: tuple
  vocab: int
  most: int  # Tokens of an answer.
  eos: int


GEMMA = Pair(tiny.DRAFTER, tiny.VERIFIER, tiny.params(), 32, tiny.N, tiny.EOS)
T5 = Pair(
  test_t5_pair.DRAFTER, test_t5_pair.VERIFIER, test_t5_pair._params(),
  test_t5_pair.V, test_t5_pair.N, test_t5_pair.EOS,
)  # fmt: skip
PAIRS = {'gemma': GEMMA, 't5': T5}


def _tokens(pair):
  rng = np.random.default_rng(5)
  return rng.integers(4, pair.vocab, (P, tiny.S)).astype(np.int32)


def _items(prompts):
  """{method: (prompt, values, temperature) of each answer}."""
  return {
    name: list(itertools.product(range(prompts), points, TEMPERATURES))
    for name, (points, _) in POINTS.items()
  }


def _answers(items, first, samples=None):
  J = len(items)
  return queue.Answers(
    id_J=np.arange(first, first + J, dtype=np.int32),
    prompt_J=np.array([p for p, *_ in items], np.int32),
    sample_J=np.zeros(J, np.int32) if samples is None else samples,
    temperature_J=np.array([t for *_, t in items]),
    top_p_J=np.ones(J),
    values=tuple(map(np.array, zip(*(v for _, v, _ in items), strict=True))),
    number=np.int32(J),
  )


def _queue(pair, answers):
  return queue.Queue(
    _tokens(pair), LENGTH_P, EXAMPLE_P, np.int32(P), answers,
    keys.make(tiny.SEED),
  )  # fmt: skip


def _loop(pair, groups):
  return loop_lib.Loop(
    pair.drafter, pair.verifier, GAMMA, pair.most, (pair.eos,), groups
  )


def _drafting(pair, reading=2, stored=4, params=None, turns=10, prompts=P):
  """{(method, prompt, values, temperature): its row} of all, served."""
  items, answers, first = _items(prompts), [], 0
  for own in items.values():
    answers.append(_answers(own, first))
    first += len(own)
  groups = tuple(
    loop_lib.Group(methods.METHODS[name], rows)
    for name, (_, rows) in POINTS.items()
  )
  rows = sum(group.rows for group in groups)
  made = queue.Slots(
    _loop(pair, groups), rows, tiny.S, reading, stored, rows + 1
  )
  names = [(name, *x) for name, own in items.items() for x in own]
  found = {}
  params = pair.params if params is None else params
  for ended in serving.serve(made, params, _queue(pair, tuple(answers)), turns):
    for row, id_ in enumerate(ended.ids.tolist()):
      assert names[id_] not in found
      found[names[id_]] = jax.tree.map(lambda x, r=row: x[r], ended.result)
  assert len(found) == len(names)
  return found


def _fixed(pair):
  """The same answers, in a batch for each temperature and its points."""
  found, copies = {}, len(POINTS)
  most = max(len(points) for points, _ in POINTS.values())
  groups = tuple(loop_lib.Group(methods.METHODS[name], P) for name in POINTS)
  for n, temperature in itertools.product(range(most), TEMPERATURES):
    asked = [points[n % len(points)] for points, _ in POINTS.values()]
    request = results.Request(
      results.Prompts(_tokens(pair), LENGTH_P, EXAMPLE_P, copies),
      probabilities.Sampling(
        np.full(copies * P, temperature), np.ones(copies * P)
      ),
      tuple(tuple(np.full(P, x) for x in values) for values in asked),
      keys.make(tiny.SEED),
    )
    result = jax.device_get(
      loop_lib.decode(_loop(pair, groups), pair.params, request)
    )
    for i, (name, values) in enumerate(zip(POINTS, asked, strict=True)):
      for p in range(P):
        row = jax.tree.map(lambda x, b=i * P + p: x[b], result)
        found[name, p, values, temperature] = row
  return found


def _equal(got, want):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-9), got, want
  )


@pytest.fixture(scope='module', params=PAIRS)
def served(request):
  """A pair and all answers by it, served."""
  with jax.enable_x64(True):
    pair = PAIRS[request.param]
    return pair, _drafting(pair)


@pytest.fixture(scope='module')
def fixed(served):
  """All of them by fixed batches."""
  return _fixed(served[0])


@pytest.mark.parametrize('name', POINTS)
def test_an_answer_is_that_of_a_fixed_batch(served, fixed, name):
  _, found = served
  own = [key for key in found if key[0] == name]
  assert len(own) == len(POINTS[name][0]) * len(TEMPERATURES) * P
  for key in own:
    _equal(found[key], fixed[key])


@pytest.mark.parametrize(
  ('reading', 'stored', 'turns'),
  [(1, 1, 1), (3, 11, 64)],
)
@pytest.mark.thorough
def test_what_is_read_at_a_time_changes_no_answer(
  served, reading, stored, turns
):
  pair, found = served
  if pair is T5:
    pytest.skip('as of Gemma')
  again = _drafting(pair, reading, stored, turns=turns)
  for key, row in found.items():
    _equal(again[key], row)


def placed(pair, mesh):
  """A pair's parameters on a mesh."""
  params = []
  for model, x in zip((pair.drafter, pair.verifier), pair.params, strict=True):
    partition = registry.family_of(model.config).partition
    own = sharding.parameter_shardings(x, mesh, partition)
    params.append(jax.device_put(x, own))
  return tuple(params)


_LARGE = pytest.mark.large


@pytest.mark.parametrize(
  'mesh',
  [
    pytest.param((1, 8), marks=_LARGE),
    (2, 4),
    pytest.param((8, 1), marks=_LARGE),
  ],
)
def test_a_mesh_changes_no_answer(served, mesh):
  pair, found = served
  if pair is T5 and mesh == (2, 4):
    pytest.skip('as of Gemma; others are large')
  params = placed(pair, sharding.make_mesh(*mesh))
  for key, row in _drafting(pair, params=params, prompts=4).items():
    _equal(row.token_BxN, found[key].token_BxN)
    _equal(row.counts, found[key].counts)


@pytest.mark.parametrize(('name', 'width'), [('gemma', 70), ('t5', tiny.S)])
def test_prompts_are_stored_without_room_for_answers(name, width):
  pair, most = PAIRS[name], 200
  groups = (loop_lib.Group(methods.STRICT, 4),)
  loop = dataclasses.replace(_loop(pair, groups), max_new_tokens=most)
  made = queue.Slots(loop, 4, width, 2, 5, 9)
  asked = _queue(pair, (_answers(_items(1)['strict'], 0),))
  state = jax.eval_shape(
    lambda params: slots.init(made, params, asked), pair.params
  )
  for held, rows in ((state.reader, 2), (state.store, 5)):
    for short, long in zip(held, made.way.caches(state.rows), strict=True):
      for x, y, ring in zip(short.keys, long.keys, long.rings, strict=True):
        assert x.shape[1] == rows
        assert (
          (x.shape[3] == y.shape[3])
          if ring
          else (x.shape[3] < y.shape[3] - most // 2)
        )


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('role', ['drafter', 'verifier'])
def test_a_model_alone(pair, role):
  pair = PAIRS[pair]
  decoder = autoregressive.Autoregressive(
    getattr(pair, role), pair.most, (pair.eos,), role
  )
  params = pair.params[('drafter', 'verifier').index(role)]
  items = [(p, (), t) for p in range(P) for t in TEMPERATURES]
  made = queue.Slots(decoder, 4, tiny.S, 2, 4, 5)
  wanted = _queue(pair, (_answers(items, 0),))
  found = {}
  for ended in serving.serve(made, (params,), wanted):
    for row, id_ in enumerate(ended.ids.tolist()):
      found[id_] = jax.tree.map(lambda x, r=row: x[r], ended.result)
  for n, temperature in enumerate(TEMPERATURES):
    result = autoregressive.decode(
      decoder,
      params,
      results.Prompts(_tokens(pair), LENGTH_P, EXAMPLE_P),
      probabilities.Sampling(np.full(P, temperature), np.ones(P)),
      keys.make(tiny.SEED),
    )
    for p in range(P):
      want = jax.tree.map(lambda x, p=p: np.asarray(x)[p], result)
      _equal(found[p * len(TEMPERATURES) + n], want)


def _samples(pair, number):
  """{(prompt, sample): its tokens}; room for three samples of each prompt."""
  items = [(p, (), 1.0) for p in range(P) for _ in range(number)]
  samples = np.tile(np.arange(number, dtype=np.int32), P)
  asked = _answers(items, 0, samples)
  asked = jax.tree.map(lambda x: np.resize(x, 3 * P) if x.ndim else x, asked)
  group = loop_lib.Group(methods.STRICT, 5)
  made = queue.Slots(_loop(pair, (group,)), 5, tiny.S, 2, 4, 6)
  found = {}
  for ended in serving.serve(made, pair.params, _queue(pair, (asked,))):
    for row, id_ in enumerate(ended.ids.tolist()):
      tokens = ended.result.token_BxN[row, : ended.result.length_B[row]]
      found[divmod(id_, number)] = tuple(tokens.tolist())
  return found


def test_samples_of_a_prompt_differ_and_the_first_is_the_only_one():
  three = _samples(GEMMA, 3)
  one = _samples(GEMMA, 1)
  assert all(three[p, 0] == one[p, 0] for p in range(P))
  # Of so many long answers few can be equal by chance.
  assert sum(three[p, 0] == three[p, 1] for p in range(P)) < P / 2
  assert sum(three[p, 1] == three[p, 2] for p in range(P)) < P / 2


def test_turns_are_few_and_slots_seldom_idle():
  items = [(p % P, (), 1.0) for p in sorted(np.arange(99) % P)]
  group = loop_lib.Group(methods.STRICT, 4)
  made = queue.Slots(_loop(GEMMA, (group,)), 4, tiny.S, 4, 8, 4)
  *_, last = serving.serve(
    made, GEMMA.params, _queue(GEMMA, (_answers(items, 0),))
  )
  assert last.busy > 0.9 * 4 * last.turn


def test_a_few_chunks_are_read_a_turn_while_a_page_of_slots_waits():
  """A page is a chunk of one prompt here; no answer ends in so few turns."""
  items = [(p, (), 1.0) for p in range(P)]
  group = loop_lib.Group(methods.STRICT, 10)
  loop = dataclasses.replace(_loop(GEMMA, (group,)), eos_ids=(GEMMA.vocab,))
  made = queue.Slots(loop, 10, tiny.S, 1, 2, 10)
  asked, state, seen = _queue(GEMMA, (_answers(items, 0),)), None, []
  for _ in range(4):
    state, _ = serving.step(made, GEMMA.params, asked, 1, state)
    busy = int((np.asarray(state.id_B) != queue.FREE).sum())
    seen.append((busy, int(state.have)))
  assert seen == [(4, 4), (8, 8), (10, 10), (10, 11)]


@pytest.mark.parametrize(
  ('rows', 'idle', 'read'), [(8, 8, 4), (8, 3, 3), (40, 3, 2), (40, 2, 1)]
)
def test_few_of_many_slots_wait_for_the_next_turn(rows, idle, read):
  """A page is one prompt; a second is read while a 16th of the slots idles."""
  group = loop_lib.Group(methods.STRICT, rows)
  made = queue.Slots(_loop(GEMMA, (group,)), rows, tiny.S, 1, 2, rows)
  items = [(p, (), 1.0) for p in range(P)]
  asked = jax.tree.map(jnp.asarray, _queue(GEMMA, (_answers(items, 0),)))
  state = serving.begin(made, GEMMA.params, asked)
  id_B = np.where(np.arange(rows) < idle, queue.FREE, 0).astype(np.int32)
  own = state.rows.replace(done_B=jnp.asarray(id_B == queue.FREE))
  state = jax.jit(slots._fill, static_argnums=0)(
    made, GEMMA.params, asked, state.replace(id_B=id_B, rows=own)
  )
  assert int(state.have) == read
  assert int((state.id_B == queue.FREE).sum()) == idle - read


def _with(wanted, **fields):
  (own,) = wanted.answers
  return wanted.replace(answers=(own.replace(**fields),))


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    (lambda q: q.replace(length_P=LENGTH_P + 1), 'prompt 1 has length 10'),
    (lambda q: q.replace(answers=()), '0 groups of answers'),
    (lambda q: _with(q, temperature_J=-np.ones(3)), 'temperature must be'),
    (lambda q: _with(q, values=(np.ones(3),)), 'strict takes 0 parameters'),
    (
      lambda q: _with(q, prompt_J=np.array([0, 2, 1], np.int32)),
      'in the order of prompts',
    ),
    (lambda q: q.replace(schedule_parameter=0.5), 'takes no parameter'),
    (
      lambda q: q.replace(token_PxS=np.pad(q.token_PxS, ((0, 0), (0, 3)))),
      'padded to 12 tokens',
    ),
  ],
)
def test_a_queue_that_does_not_fit_is_refused(change, line):
  group = loop_lib.Group(methods.STRICT, 3)
  made = queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 8, 3)
  items = [(p, (), 0.0) for p in range(3)]
  wanted = change(_queue(GEMMA, (_answers(items, 0),)))
  with pytest.raises(ValueError, match=line):
    next(serving.serve(made, None, wanted))


def test_sizes_that_cannot_be_are_refused():
  group = loop_lib.Group(methods.STRICT, 3)
  with pytest.raises(ValueError, match='table=2 at least rows=3'):
    queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 8, 2)
  with pytest.raises(ValueError, match='not of rows=4'):
    queue.Slots(_loop(GEMMA, (group,)), 4, tiny.S, 4, 8, 9)
  with pytest.raises(ValueError, match='stored=3 must be at least reading=4'):
    queue.Slots(_loop(GEMMA, (group,)), 3, tiny.S, 4, 3, 9)
