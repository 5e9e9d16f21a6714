"""Cascades over whole answers in slots, against batches of one setting."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from speccascade import pairs, tasks
from speccascade.sweeps import batches, points, served, whole
from tests.sweeps import tiny_pair

_NUMBER = 7
_ROWS = 3
_VALUES = {
  'sequence_mean': (0.0, 0.97, 0.998, 1.0),
  'sequence_q10': (0.99, 0.9999),
}


@pytest.fixture(scope='module')
def workload(tmp_path_factory):
  pair = pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))
  task = tasks.load('word_problems', {})
  task = dataclasses.replace(task, max_new_tokens=9)
  return batches.load(pair, task, 'test', _NUMBER)


def _settings(temperature):
  return [
    points.Setting(name, (alpha,), temperature, 1.0, 0, 0)
    for name, values in _VALUES.items()
    for alpha in values
  ]


@pytest.fixture
def asked(monkeypatch):
  """[(method, example)] of all that models are asked for."""
  told, decode = [], served.decode

  def spy(workload, items, plan, rows, width):
    told.extend((s.method, s.temperature, e) for s, e in items)
    return decode(workload, items, plan, rows, width)

  monkeypatch.setattr(served, 'decode', spy)
  return told


@pytest.mark.parametrize('temperature', [0.0, 1.0])
def test_results_are_those_of_a_batch_and_a_model_answers_once(
  workload, asked, temperature
):
  settings = _settings(temperature)
  items = list(itertools.product(settings, range(_NUMBER)))
  width = batches.padded(workload.length_E.max())
  found = {}
  for own, result in whole.decode(workload, items, _ROWS, width):
    for row, item in enumerate(own):
      if item is not None:
        assert item not in found
        found[item] = jax.tree.map(lambda x, row=row: x[row], result)
  assert found.keys() == set(items)
  prompts = batches.prompts(workload, range(_NUMBER), width=width)
  unsure = set()
  for setting in settings:
    want = jax.device_get(batches.decode(workload, prompts, [setting]))
    unsure |= set(np.flatnonzero(want.counts.verifier_calls_B).tolist())
    for e in range(_NUMBER):
      jax.tree.map(
        np.testing.assert_array_equal,
        found[setting, e],
        jax.tree.map(lambda x, e=e: x[e], want),
      )
  wrote = [found[item].from_drafter_BxN.any() for item in items]
  assert 0.2 < np.mean(wrote) < 0.8  # Some are sure, and some are not.
  told = [('drafter_alone', temperature, e) for e in range(_NUMBER)]
  told += [('verifier_alone', temperature, e) for e in sorted(unsure)]
  assert sorted(asked) == told


def test_a_killed_sweep_has_the_answers_that_it_would_have_had(workload):
  """Some of the drafter's answers are written, and some are decoded again."""
  items = list(itertools.product(_settings(1.0), range(_NUMBER)))
  width = batches.padded(workload.length_E.max())

  def decode(items):
    return {
      item: result.token_BxN[row].tolist()
      for own, result in whole.decode(workload, items, _ROWS, width)
      for row, item in enumerate(own)
      if item is not None
    }

  every = decode(items)
  left = [item for n, item in enumerate(items) if n % 3]
  assert decode(left) == {item: every[item] for item in left}


def test_a_drafter_that_is_sure_of_all_asks_no_verifier(workload, asked):
  setting = points.Setting('sequence_mean', (1.0,), 1.0, 1.0, 0, 0)
  items = [(setting, e) for e in range(3)]
  width = batches.padded(workload.length_E.max())
  list(whole.decode(workload, items, _ROWS, width))
  assert {method for method, *_ in asked} == {'drafter_alone'}


def test_samplings_are_answered_apart(workload, asked):
  items = [
    (points.Setting('sequence_min', (1.0,), t, 1.0, 0, 0), 0) for t in (0, 1)
  ]
  width = batches.padded(workload.length_E.max())
  list(whole.decode(workload, items, _ROWS, width))
  assert sorted(asked) == [('drafter_alone', 0, 0), ('drafter_alone', 1, 0)]
