import json

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import schedules
from speccascade.sweeps import latency
from speccascade.sweeps import points as points_lib
from speccascade.timing import clock
from tests.sweeps import tiny_pair


class _Prompts:
  def __init__(self, example):
    self.example = example
    self.token_PxS = jax.ShapeDtypeStruct((1, 32 + 32 * (example == 1)), int)


@pytest.fixture
def decoded(monkeypatch):
  """Every decoding in order; each takes a second of a fake clock."""
  calls = []
  ticks = iter(range(10_000))
  prompts = lambda workload, index_P: _Prompts(index_P[0])  # noqa: E731

  def decode(workload, prompts, settings, plan, choice):
    calls.append((prompts.example, settings[0].id(plan)))

  monkeypatch.setattr(latency.batches, 'prompts', prompts)
  monkeypatch.setattr(latency.batches, 'decode', decode)
  monkeypatch.setattr(clock, 'now', lambda: next(ticks))
  return calls


def _points(**changes):
  sweep = tiny_pair.sweep('any', **{'temperatures': (1.0,)} | changes)
  return points_lib.points(points_lib.settings(sweep), points_lib.plans(sweep))


def test_each_turn_takes_a_prompt_through_every_point(decoded, tmp_path):
  points = _points()
  assert len(points) == 2 + 4 * 2
  turns = []
  path = tmp_path / 'timings.jsonl'
  latency.measure(None, points, 3, 2, path, turns.append)
  ids = [s.id(plan) for s, plan in points]
  # First a run of each program, for both widths of prompts: one a plan for all
  # drafting methods, one for each model alone.
  programs = 2 + 2
  warm, timed = decoded[: 2 * programs], decoded[2 * programs :]
  assert {example for example, _ in warm} == {1, 2}
  n = len(ids)
  orders = [timed[turn * n : (turn + 1) * n] for turn in range(6)]
  for turn, order in enumerate(orders):
    assert sorted(order) == sorted((turn % 3, i) for i in ids)
  # Another order each turn: what ran before must not favour a point.
  assert len({tuple(i for _, i in order) for order in orders}) == 6
  assert sum(turns) == 6
  assert [json.loads(line)['example'] for line in path.open()] == [0, 1, 2] * 2


def test_a_resumed_measurement_takes_the_missing_turns(decoded, tmp_path):
  points, path = _points(), tmp_path / 'timings.jsonl'
  latency.measure(None, points, 3, 2, path, lambda n: None)
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(lines[:4]) + lines[4][:-9])
  decoded.clear()
  turns = []
  seconds = latency.measure(None, points, 3, 2, path, turns.append)
  timed = decoded[-2 * len(points) :]
  assert [e for e, _ in timed] == [1] * len(points) + [2] * len(points)
  assert sum(turns) == 6
  assert path.read_text().splitlines(keepends=True)[:4] == lines[:4]
  # Every decoding took one tick: two trials of three prompts.
  assert seconds.keys() == {s.id(plan) for s, plan in points}
  for seconds_TxP in seconds.values():
    np.testing.assert_array_equal(seconds_TxP, np.ones((2, 3)))


def test_one_program_serves_all_drafting_methods():
  points = _points(methods={'chow': (0.3,), 'bild_rollback': (1.0,)})
  choice = latency._choice(points)
  names = [method.name for method in choice.methods]
  assert names == ['strict', 'chow', 'bild_rollback']
  assert hash(choice) == hash(latency._choice(points))


def test_a_point_is_compared_at_its_own_draft_length():
  points = _points()
  seconds = {
    s.id(plan): (i + 1) * np.array([[1.0, 2.0], [5.0, 3.0], [3.0, 1.0]])
    for i, (s, plan) in enumerate(points)
  }
  setting = next(s for s, _ in points if s.method == 'chow')
  fields = latency.summarise(seconds, setting, schedules.Plan(3))
  names = [s.id(plan) for s, plan in points]
  at = lambda start: names.index(start + '-t1-p1-k0-s0') + 1.0  # noqa: E731
  chow = at('chow-alpha0.3-g3')
  assert fields == {
    'seconds': [chow * x for x in (3, 8, 4)],
    'example_seconds': [chow * x for x in (3, 2)],
    'verifier_seconds': [at('verifier_alone') * x for x in (3, 8, 4)],
    'strict_seconds': [at('strict-g3') * x for x in (3, 8, 4)],
    'relative_latency': [pytest.approx(chow / at('verifier_alone'))] * 3,
  }
  assert points[0][0].of is methods.VERIFIER_ALONE
  alone = latency.summarise(seconds, points[0][0], None)
  assert alone['strict_seconds'] is None
  assert alone['relative_latency'] == [1.0] * 3


def test_samplings_are_timed_apart(decoded, tmp_path):
  points = _points(top_ps=(1.0, 0.9))
  path = tmp_path / 'timings.jsonl'
  for sampling in ((1.0, 1.0), (1.0, 0.9)):
    own = [(s, plan) for s, plan in points if s.sampling == sampling]
    decoded.clear()
    latency.measure(None, own, 1, 1, path, lambda n: None)
    assert {i for _, i in decoded} == {s.id(plan) for s, plan in own}
  turns = [json.loads(line) for line in path.open()]
  assert [(t['temperature'], t['top_p']) for t in turns] == [
    (1.0, 1.0),
    (1.0, 0.9),
  ]
