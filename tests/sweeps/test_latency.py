import json

import jax
import numpy as np
import pytest

from speccascade.sweeps import latency, settings
from tests.sweeps import tiny_pair


@pytest.fixture
def decoded(monkeypatch):
  """Every decoding in order; each takes as many seconds as it is old."""
  calls = []
  clock = iter(range(10_000))
  prompts = lambda workload, index_P: _Prompts(index_P[0])  # noqa: E731

  def decode(workload, prompts, settings_, plan):
    calls.append((prompts.example, settings_[0].id(plan)))

  monkeypatch.setattr(latency.workload_lib, 'prompts', prompts)
  monkeypatch.setattr(latency.workload_lib, 'decode', decode)
  monkeypatch.setattr(latency.time, 'perf_counter', lambda: next(clock))
  return calls


class _Prompts:
  def __init__(self, example):
    self.example = example
    self.token_PxS = jax.ShapeDtypeStruct((1, 32 + 32 * (example == 1)), int)


def _points():
  config = tiny_pair.config('any')
  config.temperatures = (1.0,)
  by_rule = settings.by_rule(config)
  return latency.points(sum(by_rule.values(), []), settings.plans(config))


def test_each_turn_takes_a_prompt_through_every_point(decoded, tmp_path):
  points = _points()
  assert len(points) == 2 + 4 * 2
  turns = []
  path = tmp_path / 'timings.jsonl'
  latency.measure(None, points, 3, 2, path, turns.append)
  ids = [s.id(plan) for s, plan in points]
  # First a run of each program, for both widths of prompts.
  programs = len({(s.rule, plan) for s, plan in points})
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


def test_a_point_is_compared_at_its_own_draft_length():
  points = _points()
  seconds = {
    s.id(plan): (i + 1) * np.array([[1.0, 2.0], [5.0, 3.0], [3.0, 1.0]])
    for i, (s, plan) in enumerate(points)
  }
  setting = next(s for s, _ in points if s.rule == 'chow')
  fields = latency.summarise(seconds, setting, settings.Plan(3))
  names = [s.id(plan) for s, plan in points]
  at = lambda start: names.index(start + '-t1-p1-k0-s0') + 1.0  # noqa: E731
  relative = at('chow-a0.3-g3') / at('verifier_alone')
  assert fields == {
    'seconds': [at('chow-a0.3-g3') * x for x in (3, 8, 4)],
    'example_seconds': [at('chow-a0.3-g3') * x for x in (3, 2)],
    'verifier_seconds': [at('verifier_alone') * x for x in (3, 8, 4)],
    'strict_seconds': [at('strict-g3') * x for x in (3, 8, 4)],
    'relative_latency': [pytest.approx(relative)] * 3,
  }
  alone = latency.summarise(seconds, points[0][0], None)
  assert alone['strict_seconds'] is None
  assert alone['relative_latency'] == [1.0] * 3


def test_samplings_are_timed_apart(decoded, tmp_path):
  config = tiny_pair.config('any')
  config.temperatures, config.top_ps = (1.0,), (1.0, 0.9)
  every = sum(settings.by_rule(config).values(), [])
  path = tmp_path / 'timings.jsonl'
  for sampling in ((1.0, 1.0), (1.0, 0.9)):
    own = latency.points(
      [s for s in every if s.sampling == sampling], settings.plans(config)
    )
    decoded.clear()
    latency.measure(None, own, 1, 1, path, lambda n: None)
    assert {i for _, i in decoded} == {s.id(plan) for s, plan in own}
  turns = [json.loads(line) for line in path.open()]
  assert [(t['temperature'], t['top_p']) for t in turns] == [
    (1.0, 1.0),
    (1.0, 0.9),
  ]
