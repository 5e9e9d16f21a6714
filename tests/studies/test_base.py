"""What the configs of all studies have."""

import dataclasses
import types

import pytest

from speccascade import config, pairs, tasks
from speccascade.studies import acceptance, benchmark, flips, show
from speccascade.studies.compare import config as compare
from speccascade.studies.tokens import config as tokens


@pytest.fixture
def _task_of_ten_tokens(monkeypatch):
  task = dataclasses.replace(tasks.load('word_problems', {}), max_new_tokens=10)
  monkeypatch.setattr(tasks, 'load', lambda *_: task)
  pair = types.SimpleNamespace(name='word_problems')
  monkeypatch.setattr(pairs, 'load', lambda *_, **__: pair)


@pytest.mark.parametrize(
  ('kind', 'values', 'told'),
  [
    (acceptance.Acceptance, dict(gamma=11), 'gamma=11'),
    (benchmark.Benchmark, dict(gamma=11, schedule_gamma=0), 'gamma=11'),
    (benchmark.Benchmark, dict(schedule_gamma=11), 'schedule_gamma=11'),
    (compare.Compare, dict(gammas=(3, 11)), 'gammas=11'),
    (flips.Flips, dict(gamma=11), 'gamma=11'),
    (show.Show, dict(gamma=11), 'gamma=11'),
    (tokens.Tokens, dict(gammas=(3, 11, 4)), 'gammas=11'),
  ],
)
@pytest.mark.usefixtures('_task_of_ten_tokens')
def test_no_draft_is_longer_than_any_answer(kind, values, told):
  with pytest.raises(ValueError, match=f'{told} must not exceed 10, the most'):
    config.parse(kind, values).load()
  assert config.parse(acceptance.Acceptance, dict(gamma=10)).load()


@pytest.mark.parametrize(
  ('kind', 'values', 'told'),
  [
    (acceptance.Acceptance, dict(temperatures=(1e-46,)), 'temperatures.0=1e-4'),
    (acceptance.Acceptance, dict(num_examples=10**8), 'num_examples=100000000'),
    (
      acceptance.Acceptance,
      dict(batch_size=2**63),
      'batch_size=9223372036854',
    ),
    (benchmark.Benchmark, dict(rounds=2**63), 'rounds=9223372036854775808'),
    (benchmark.Benchmark, dict(batch_sizes=(8, 2**17)), 'batch_sizes.1=131072'),
    (benchmark.Benchmark, dict(confidence=1e-46), 'confidence=1e-46: it must'),
    (benchmark.Benchmark, dict(gamma=100_000), 'gamma=100000: it must be'),
    (benchmark.Benchmark, dict(schedules=('x',)), 'schedules: unknown schedul'),
    (compare.Compare, dict(temperature=1e-46), 'temperature=1e-46: it must'),
    (flips.Flips, dict(batch_size=2**63), 'batch_size=9223372036854'),
    (show.Show, dict(example=2**31), 'example=2147483648: it must be'),
    (show.Show, dict(max_new_tokens=2**31), 'max_new_tokens=2147483648: it'),
    (show.Show, dict(values=(float('nan'),)), 'values.0=nan: it must be'),
    (show.Show, dict(values=(7.0,)), r'values=\(7.0,\): alpha=7'),
    (show.Show, dict(prompt='\ud800'), 'prompt=.*: it must be text'),
    (tokens.Tokens, dict(methods={'chow': (None,)}), 'methods.chow.0=None: it'),
    (tokens.Tokens, dict(methods={'chew': ()}), 'methods.chew: unknown method'),
    (tokens.Tokens, dict(temperatures=(3.5e38,)), 'temperatures.0=3.5e.38: it'),
  ],
)
def test_a_fault_is_one_line_that_names_the_field(kind, values, told):
  with pytest.raises(ValueError, match=told) as error:
    config.parse(kind, values)
  assert str(error.value).isprintable()
