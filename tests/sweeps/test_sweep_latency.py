import json

import numpy as np
import pytest

from speccascade import pairs, tasks
from speccascade.sweeps import batches, latency
from speccascade.sweeps import points as points_lib
from tests.sweeps import fake_decode, tiny_pair


@pytest.fixture(scope='module')
def workload(tmp_path_factory):
  pair = pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))
  task = tasks.load('word_problems', {})
  loaded = batches.load(pair, task, 'test', 3)
  loaded.length_E[:] = (36, 90, 36)  # Of two widths.
  return loaded


@pytest.fixture
def decoder(monkeypatch):
  return fake_decode.Decoder(monkeypatch)


def _points(**changes):
  sweep = tiny_pair.sweep('any', **{'temperatures': (1.0,)} | changes)
  return points_lib.points(points_lib.settings(sweep), points_lib.plans(sweep))


def _measure(workload, points, prompts, trials, path):
  """Takes the turns that are missing; returns the answers advanced by."""
  log, done = latency.read(path)
  turns = latency.missing(points, prompts, trials, done)
  answers = []
  latency.measure(workload, turns, log, answers.append)
  return answers


def test_each_turn_takes_a_prompt_through_every_point(
  workload, decoder, tmp_path
):
  points = _points()
  assert len(points) == 2 + 4 * 2
  path = tmp_path / 'timings.jsonl'
  answers = _measure(workload, points, 3, 2, path)
  ids = [s.id(plan) for s, plan in points]
  # First a run of each program, for both widths of prompts: one a plan for all
  # drafting methods, one for each model alone.
  n, programs = len(ids), 2 * (2 + 2)
  timed = decoder.timed[programs:]
  orders = [timed[turn * n : (turn + 1) * n] for turn in range(6)]
  for turn, order in enumerate(orders):
    assert sorted(order) == sorted((i, turn % 3) for i in ids)
  # Another order each turn: what ran before must not favour a point.
  assert len({tuple(i for i, _ in order) for order in orders}) == 6
  assert answers == [n] * 6
  turns = [json.loads(line) for line in path.open()]
  assert [(t['trial'], t['example']) for t in turns] == [
    (trial, e) for trial in range(2) for e in range(3)
  ]
  answer = turns[0]['answers']['strict-g1-t1-p1-k0-s0']
  assert answer.keys() == {'seconds', 'tokens', 'calls', 'digest'}
  assert answer['seconds'] == 1.0


def test_a_resumed_measurement_takes_the_missing_turns(
  workload, decoder, tmp_path
):
  points, path = _points(), tmp_path / 'timings.jsonl'
  _measure(workload, points, 3, 2, path)
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(lines[:4]) + lines[4][:-9])
  decoder.timed.clear()
  answers = _measure(workload, points, 3, 2, path)
  timed = decoder.timed[-2 * len(points) :]
  assert [e for _, e in timed] == [1] * len(points) + [2] * len(points)
  assert answers == [len(points)] * 2
  assert path.read_text().splitlines(keepends=True)[:4] == lines[:4]
  # Every decoding took a second: two trials of three prompts.
  _, done = latency.read(path)
  for point in points:
    told = latency.timed(point, 3, 2, done)
    np.testing.assert_array_equal(told.seconds, np.ones((2, 3)))
    np.testing.assert_array_equal(told.verifier_seconds, np.ones((2, 3)))
    assert (told.strict_seconds is None) == (point[1] is None)


def test_one_program_serves_all_drafting_methods(workload):
  points = _points(methods={'chow': (0.3,), 'bild_rollback': (1.0,)})
  turns = latency.missing(points, 1, 1, {})
  choice = latency._choice(turns)
  names = [method.name for method in choice.methods]
  assert names == ['strict', 'chow', 'bild_rollback']
  assert hash(choice) == hash(latency._choice(turns))
  assert len(latency.programs(workload, turns)) == 2 + 2


def test_samplings_are_timed_apart(workload, decoder, tmp_path):
  points = _points(top_ps=(1.0, 0.9))
  path = tmp_path / 'timings.jsonl'
  for sampling in ((1.0, 1.0), (1.0, 0.9)):
    own = [(s, plan) for s, plan in points if s.sampling == sampling]
    decoder.timed.clear()
    _measure(workload, own, 1, 1, path)
    assert {i for i, _ in decoder.timed} == {s.id(plan) for s, plan in own}
  turns = [json.loads(line) for line in path.open()]
  assert [(t['temperature'], t['top_p']) for t in turns] == [
    (1.0, 1.0),
    (1.0, 0.9),
  ]


def test_a_point_and_what_it_is_compared_with_come_from_one_line():
  points = _points()
  point = next(p for p in points if p[0].method == 'chow')
  name, alone, strict = latency._ids(*point)

  def answers(seconds, *names):
    told = {'tokens': 1, 'calls': 1, 'digest': ''}
    return {x: told | {'seconds': seconds} for x in names}

  key = (1.0, 1.0, 0, 0)
  done = {key: [answers(1.0, alone, strict), answers(9.0, name)]}
  assert latency.missing([point], 1, 1, done) == [latency.Turn(key, [point])]
  done[key] += [answers(5.0, alone, strict, name), answers(7.0, *done[key][1])]
  told = latency.timed(point, 1, 1, done)
  assert told.seconds == told.verifier_seconds == told.strict_seconds == 5.0
