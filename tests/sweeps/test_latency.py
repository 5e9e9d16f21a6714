import json

import jax
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
  assert timed == [(e, i) for _ in range(2) for e in range(3) for i in ids]
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
  # Every decoding took one tick: three prompts a trial.
  assert seconds == {s.id(plan): [3, 3] for s, plan in points}


def test_a_point_is_compared_at_its_own_draft_length():
  points = _points()
  seconds = {s.id(plan): [i + 1.0] for i, (s, plan) in enumerate(points)}
  setting = next(s for s, _ in points if s.rule == 'chow')
  fields = latency.summarise(seconds, setting, settings.Plan(3))
  names = [s.id(plan) for s, plan in points]
  at = lambda start: names.index(start + '-t1-p1-k0-s0') + 1.0  # noqa: E731
  assert fields == {
    'seconds': [at('chow-a0.3-g3')],
    'verifier_seconds': [at('verifier_alone')],
    'strict_seconds': [at('strict-g3')],
    'relative_latency': [at('chow-a0.3-g3') / at('verifier_alone')],
  }
  alone = latency.summarise(seconds, points[0][0], None)
  assert alone['strict_seconds'] is None
  assert alone['relative_latency'] == [1.0]
