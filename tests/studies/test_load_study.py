"""Shapes served plainly, by fixed drafts and by the load."""

import json

import numpy as np
import pytest

from speccascade import config
from speccascade.decoding import load as load_lib
from speccascade.decoding import serving
from speccascade.studies import load
from speccascade.timing import requests
from tests.runs import entry_point


def _study(**fields):
  fields = {
    'drafter': 'tiny', 'verifier': 'tiny', 'batch_sizes': (3,), 'prompt': 5,
    'acceptances': (0.0, 0.9), 'new_tokens': 12, 'gamma': 2,
    'dtype': 'float32',
  } | fields  # fmt: skip
  return config.parse(load.Load, fields)


def _rows(folder):
  text = (folder / 'cells.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def _second(first, calls, then):
  """A function that is `first` so many times, and `then` after."""
  left = iter([first] * calls)
  return lambda *args: next(left, then)(*args)


def test_cells_are_measured_once(tiny_preset, tmp_path, monkeypatch):
  turns = []

  def serve(made, params, queue, arrived_Q, number, seconds=None):
    """By a clock of which a turn takes what its drafts and verifying do."""
    ms, state = 0.0, None
    while state is None or not serving.idle(state, queue):
      before = 0 if state is None else int(state.turn)
      state, ended = serving.step(made, params, queue, 1, state)
      ms += ended.turn - before
    turns.append(state.turn)
    same_Q = np.ones(len(arrived_Q), int)
    return requests.Served(
      arrived_Q, arrived_Q, float(state.turn) * same_Q, 5 * same_Q,
      12 * same_Q, same_Q, int(state.turn), int(state.busy),
    )  # fmt: skip

  cost_A = np.array([1.0, 1.1, 1.2, 1.3])
  monkeypatch.setattr(load.requests, 'serve', serve)

  def costs_A(made, params, queue, served):
    assert served is None
    return cost_A

  monkeypatch.setattr(load.calibration, 'costs_A', costs_A)

  def end(*_):
    raise KeyboardInterrupt

  with monkeypatch.context() as killed:  # A row is kept once it is measured.
    killed.setattr(load.load, 'forced', _second(load.load.forced, 4, end))
    with pytest.raises(KeyboardInterrupt):
      load.run(_study(), tmp_path)
  assert [row['acceptance'] for row in _rows(tmp_path)] == [0]
  text = load.run(_study(), tmp_path)
  assert (tmp_path / 'table.md').read_text() == f'{text}\n'
  never, often = _rows(tmp_path)
  assert (never['acceptance'], often['acceptance']) == (0, 0.9)
  assert never['costs'] == cost_A.tolist()
  assert list(never['fixed']) == ['1', '2', '3']
  # Where no draft stands a turn has one token, whatever is drafted.
  for speed in (*never['fixed'].values(), never['load'], often['fixed']['1']):
    assert speed == pytest.approx(never['plain'], rel=0.2)
  assert often['fixed']['3'] > 1.5 * often['plain']
  assert often['load'] > 1.5 * often['plain']
  monkeypatch.setattr(load, '_measure', None)
  assert load.run(_study(), tmp_path) == text
  # One rate more is measured.
  with pytest.raises(TypeError, match='not callable'):
    load.run(_study(acceptances=(0.0, 0.9, 0.5)), tmp_path)
  with pytest.raises(ValueError, match='changed: gamma'):
    load.run(_study(gamma=3), tmp_path)


def test_forced_costs_draft_so_many():
  for d in range(4):
    load_lib.check(load_lib.forced(d, 3), 2, 1)
  assert load_lib.forced(0, 3).argmin() == 0
  assert (load_lib.forced(2, 3) == 1).tolist() == [False, True, True, False]


@pytest.mark.thorough
def test_the_command(tiny_preset, tmp_path, capsys):
  ended = entry_point.call(
    'load',
    f'--workdir={tmp_path}',
    '--config.drafter=tiny',
    '--config.verifier=tiny',
    '--config.batch_sizes=(2,)',
    '--config.acceptances=(0.5,)',
    '--config.prompt=5',
    '--config.new_tokens=8',
    '--config.gamma=1',
    '--config.dtype=float32',
  )
  assert ended is None
  assert ' load / plain |' in capsys.readouterr().out
  (row,) = _rows(tmp_path)
  assert min(row['plain'], row['load'], *row['fixed'].values()) > 0


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'drafter': 'no_such'}, 'no_such'),
    ({'prompt': 8181}, 'tiny takes at most 8180 tokens with new_tokens=12'),
  ],
)
def test_a_fault_of_a_config_is_one_line(tiny_preset, fields, line):
  with pytest.raises(ValueError, match=line) as error:
    _study(**fields)
  assert '\n' not in str(error.value)
