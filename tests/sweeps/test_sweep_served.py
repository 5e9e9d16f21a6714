"""In which order a sweep's prompts are read."""

import dataclasses

import numpy as np
import pytest

from speccascade import pairs, tasks
from speccascade.decoding import schedules, serving
from speccascade.sweeps import batches, points, served
from tests.sweeps import tiny_pair

_WIDTH, _PAGE = 512, 4  # So many prompts of that width are a page.


@pytest.fixture(scope='module')
def workload(tmp_path_factory):
  pair = pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))
  made = batches.load(pair, tasks.load('word_problems', {}), 'test', 37)
  length_E = np.random.default_rng(0).integers(1, _WIDTH, 37)
  return dataclasses.replace(made, length_E=length_E)


@pytest.mark.parametrize('how', ['decode', 'samples'])
def test_prompts_of_a_length_share_a_page_near_to_where_they_stood(
  workload, monkeypatch, how
):
  asked = []
  monkeypatch.setattr(serving, 'serve', lambda *x: asked.append(x) or ())
  settings = [
    points.Setting(name, (), 1.0, 1.0, 0, 0) for name in ('strict', 'drafter')
  ]
  order = np.random.default_rng(1).permutation(37).tolist()
  items = [(s, e) for s in settings for e in order]
  more = () if how == 'decode' else (2,)
  call = getattr(served, how)
  list(call(workload, items, schedules.Plan(2), 9, _WIDTH, *more))
  ((made, _, queue),) = asked
  assert made.reading == _PAGE
  example_P = queue.example_P[: queue.number].tolist()
  window = served._PAGES * _PAGE
  for start in range(0, 37, window):
    own = example_P[start : start + window]
    assert sorted(own) == sorted(order[start : start + window])
    assert (np.diff(workload.length_E[own]) <= 0).all()
  for answers in queue.answers:
    assert (np.diff(answers.prompt_J[: answers.number]) >= 0).all()
    assert answers.number == 37 * (2 if more else 1)


@pytest.mark.parametrize(
  ('rows', 'slots'), [(30, (10, 20)), (2, (1, 1)), (500, (100, 100))]
)
def test_bundles_of_many_values_get_more_slots(rows, slots):
  """16 values have more to write than one, and far less than 16 times that."""
  groups = [[['one']] * 100, [['one'] * 16] * 100]
  assert served._rows(groups, rows) == slots


def test_no_method_gets_more_slots_than_it_can_fill():
  groups = [[['one']] * 40, [['one'] * 16] * 3]
  assert served._rows(groups, 30) == (27, 3)
  assert served._rows(groups, 64) == (40, 3)
  assert served._rows(groups, 64, 2) == (58, 6)
