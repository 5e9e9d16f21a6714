"""The config of a study of tokens, and the command that runs one."""

import dataclasses
import importlib.resources
import json

import pytest

from speccascade import config, tasks
from speccascade.studies.tokens import config as tokens
from speccascade.studies.tokens import measure
from tests.runs import entry_point


def _parse(**changes):
  return config.parse(tokens.Tokens, changes)


def test_settings_are_strict_and_the_methods_at_every_temperature():
  study = _parse(
    methods={'token_v3': (0.5, 0.9), 'strict': (), 'lossy_beta': ((0.5, 2),)},
    temperatures=(1, 0, 1.0),
    seed=3,
  )
  settings = study.settings
  assert [(s.method, s.values) for s in settings[::2]] == [
    *(('strict', ()), ('token_v3', (0.5,)), ('token_v3', (0.9,))),
    ('lossy_beta', (0.5, 2.0)),
  ]
  assert [s.temperature for s in settings] == [1, 0] * 4
  assert {(s.top_p, s.top_k, s.seed) for s in settings} == {(1, 0, 3)}
  assert [s.method for s in _parse(methods={}).settings] == ['strict']


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'methods': {'oracle': (1,)}}, "unknown method 'oracle'"),
    ({'methods': {'token_v3': ()}}, 'token_v3 takes at least one value of'),
    ({'methods': {'token_v3': (1.5,)}}, 'alpha=1.5 is out of range for token'),
    ({'methods': {'strict': (0.5,)}}, 'strict takes no values'),
    ({'methods': {'bild_rollback': (2,)}}, 'does not tell the rejections of'),
    ({'methods': {'token_cascade': (0.5,)}}, 'token_cascade does not draft'),
    ({'temperatures': (-1.0,)}, 'temperatures.0=-1.0: it must be'),
    ({'temperatures': ()}, r'temperatures=\(\): '),
    ({'gammas': ()}, r'gammas=\(\): '),
  ],
)
def test_a_fault_of_a_config_is_one_line(changes, line):
  with pytest.raises(ValueError, match=line) as error:
    _parse(**changes)
  assert '\n' not in str(error.value)


def test_the_command_measures_and_writes_the_report(
  tiny_folder, tmp_path, monkeypatch, capsys
):
  load = tasks.load
  monkeypatch.setattr(
    tasks,
    'load',
    lambda *args: dataclasses.replace(load(*args), max_new_tokens=24),
  )
  out = tmp_path / 'out'
  ended = entry_point.call(
    'analyze',
    *(f'--config.pair={tiny_folder}', '--config.task=word_problems'),
    *("--config.methods={'typical': (0.8,)}", '--config.num_examples=2'),
    *('--config.gammas=1', '--config.gamma=2', f'--out={out}'),
  )
  assert ended is None
  printed = capsys.readouterr().out
  assert (out / 'analysis.md').read_text() in printed
  assert 'word_problems, pair pair: 2 test examples, exact_match' in printed
  rows = [*map(json.loads, (out / 'analysis.jsonl').read_text().splitlines())]
  overall = [(r['method'], r['parameters']) for r in rows if 'bound' in r]
  assert overall == [('strict', {}), ('typical', {'alpha': 0.8})]
  assert (out / 'analysis.png').exists()


@pytest.mark.parametrize(
  ('flag', 'line'),
  [
    (
      "--config.methods={'strict': (1,)}",
      'analyze: methods.strict: strict takes no ',
    ),
    ('--config.rule=strict', 'analyze: unknown config field'),
    ('--config.pair={}/nothing', "analyze: unknown task 'nothing'; known: "),
  ],
)
def test_a_fault_of_the_command_is_one_line(tmp_path, capsys, flag, line):
  shipped = importlib.resources.files('speccascade.pairs') / 'word_problems'
  (tmp_path / 'nothing').symlink_to(str(shipped))
  flag = flag.replace('{}', str(tmp_path))
  error = entry_point.call('analyze', flag, f'--out={tmp_path / "out"}')
  assert error.startswith(line)
  assert '\n' not in error
  assert not capsys.readouterr().out
  assert not (tmp_path / 'out').exists()


def test_the_folder_is_there_before_the_work(tmp_path, monkeypatch):
  def stop(*_):
    raise ValueError(str((tmp_path / 'out').is_dir()))

  monkeypatch.setattr(measure, 'measure', stop)
  told = entry_point.call('analyze', f'--out={tmp_path / "out"}')
  assert told == 'analyze: True'
