"""The config of the benchmark of the loop, and the command that runs it."""

import numpy as np
import pytest

from speccascade import config
from speccascade.decoding import schedules
from speccascade.studies import benchmark
from speccascade.timing import loop
from tests.runs import entry_point


def _parse(**changes):
  return config.parse(benchmark.Benchmark, changes)


def test_plans_by_hand():
  assert set(_parse().schedules) < set(schedules.SCHEDULES)
  study = _parse(
    schedules=('cost', 'fixed', 'confidence'),
    gamma=3,
    schedule_gamma=9,
    confidence=0.2,
  )
  assert study.plans == [
    schedules.Plan(9, 'cost'),
    schedules.Plan(3),
    schedules.Plan(9, 'confidence', 0.2),
  ]


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'schedules': ('oracle',)}, "unknown schedule 'oracle'; known: fixed"),
    ({'schedules': ('cost', 'cost')}, 'must be distinct'),
    ({'schedules': ()}, r'schedules=\(\): '),
    ({'confidence': 1.5}, 'confidence=1.5: it must be'),
    ({'temperature': float('inf')}, 'temperature=inf: it must be'),
    ({'batch_sizes': (0,)}, 'batch_sizes.0=0: it must be'),
    ({'rounds': 0}, 'rounds=0: it must be'),
  ],
)
def test_a_fault_of_a_config_is_one_line(changes, line):
  with pytest.raises(ValueError, match=line) as error:
    _parse(**changes)
  assert '\n' not in str(error.value)


def test_the_command_times_each_batch_size(monkeypatch, capsys):
  calls = []

  def measure(pair, prompts, plans, *rest, profile):
    assert profile is None
    calls.append((pair.name, prompts, plans, rest))
    rows = prompts[0].rows
    return [loop.Row('cost', rows, 7, 1, 2, 3, 4, 5, 1, 2, 9, rows)]

  monkeypatch.setattr(loop, 'measure', measure)
  ended = entry_point.call(
    'benchmark',
    *('--config.batch_sizes=(1, 3)', '--config.rounds=2'),
    *("--config.schedules=('cost',)", '--config.schedule_gamma=7'),
  )
  assert ended is None
  out, error = capsys.readouterr()
  assert error == 'batch size 1 ...\nbatch size 3 ...\n'
  assert '| 1 | cost | 7 | 1.000 | 2.00 |' in out
  assert '| 3 | cost | 7 | 1.000 | 2.00 |' in out
  assert 'float32, pair word_problems, token_v3, temperature 1, times' in out
  assert 'the least of 2;' in out
  assert 'Runs of one loop lie up to 3.0 times apart' in out
  for (name, prompts, plans, rest), size in zip(calls, (1, 3), strict=True):
    assert name == 'word_problems'
    assert plans == [schedules.Plan(7, 'cost')]
    assert rest == (128, 2, 1.0)
    examples = np.concatenate([p.example_P for p in prompts])
    np.testing.assert_array_equal(examples, np.arange(4 * size))
    length = np.concatenate([p.length_P for p in prompts])
    for p in prompts:  # One shape, as wide as the longest of them.
      assert p.token_PxS.shape == (size, length.max())


@pytest.mark.parametrize(
  ('flag', 'line'),
  [
    ('pair=nobody', "benchmark: no pair 'nobody'"),
    ('task=aime', "benchmark: task_args: path='...' must name"),
    ('temperature=inf', 'benchmark: temperature=inf: it must be'),
    ('schedule=cost', 'benchmark: unknown config field'),
  ],
)
def test_a_fault_of_the_command_is_one_line(flag, line, capsys):
  error = entry_point.call('benchmark', f'--config.{flag}')
  assert error.startswith(line)
  assert '\n' not in error
  assert not capsys.readouterr().out
