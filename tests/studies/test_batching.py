"""Slots beside fixed batches, a grid beside its points."""

import json
import re

import numpy as np
import pytest

from speccascade import config
from speccascade.studies import batching
from speccascade.sweeps import batches, served
from tests.runs import entry_point
from tests.sweeps import fake_decode


def _study(folder, **fields):
  fields = {
    'pair': folder, 'task': 'word_problems', 'slots': 3, 'num_examples': 7,
    'methods': {'token_v3': (0.1, 0.5), 'chow': (0.3,)}, 'grid_slots': 5,
    'grid_examples': 4, 'gamma': 2, 'trials': 3,
  } | fields  # fmt: skip
  return config.parse(batching.Batching, fields)


def _equal(text):
  """The answers that equal those of the first way, of each row."""
  return re.findall(r'\d+/\d+', text)


def _rows(folder):
  text = (folder / 'batching.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def decoder(monkeypatch):
  """A call takes a second, whatever it decodes."""
  fake = fake_decode.Decoder(monkeypatch)
  monkeypatch.setattr(served, 'start', lambda *_, turns: turns)
  return fake


def test_both_are_compared_once(tiny_folder, decoder, tmp_path):
  text = batching.run(_study(tiny_folder), tmp_path)
  assert (tmp_path / 'table.md').read_text() == f'{text}\n'
  rows = _rows(tmp_path)
  assert [(x['comparison'], x['way'], x['slots']) for x in rows] == [
    ('slots', 'fixed batches', 3),
    ('slots', 'slots', 3),
    ('grid', 'points one by one', 5),
    ('grid', 'one grid', 5),
  ]
  # Batches of 3 make 7 answers in 3 calls; three points of 4 take one each.
  assert [x['seconds'] for x in rows] == [[3] * 3, [3] * 3, [3], [3]]
  assert [len(x['digests']) for x in rows] == [7, 7, 12, 12]
  assert [x['programs'] for x in rows] == [1, 1, 2, 1]
  assert rows[0]['digests'] == rows[1]['digests']
  assert rows[2]['digests'] == rows[3]['digests']
  assert _equal(text) == ['7/7', '7/7', '12/12', '12/12']
  decoder.calls.clear()
  assert batching.run(_study(tiny_folder), tmp_path) == text
  assert not decoder.calls
  with pytest.raises(ValueError, match='changed: gamma'):
    batching.run(_study(tiny_folder, gamma=1), tmp_path)
  assert 'strict and a grid of 3 points, γ = 2' in text


def test_answers_that_differ_are_counted(
  tiny_folder, decoder, tmp_path, monkeypatch
):
  serve = served.decode

  def other(*args):
    for items, result in serve(*args):
      token_BxN = np.array(result.token_BxN)
      for row, (_, example) in enumerate(items):
        token_BxN[row, 0] += example == 2
      yield items, result.replace(token_BxN=token_BxN)

  monkeypatch.setattr(served, 'decode', other)
  study = _study(tiny_folder, grid_trials=0)
  assert _equal(batching.run(study, tmp_path)) == ['7/7', '6/7']
  assert len(_rows(tmp_path)) == 2


def test_the_faster_is_told(tiny_folder, decoder, tmp_path, monkeypatch):
  decode = batches.decode

  def slow(*args):
    decoder.seconds = 2
    found = decode(*args)
    decoder.seconds = 1
    return found

  monkeypatch.setattr(batches, 'decode', slow)
  batching.run(_study(tiny_folder, trials=2), tmp_path)
  fixed, slots, *_ = _rows(tmp_path)
  assert (fixed['seconds'], slots['seconds']) == ([6, 6], [3, 3])
  assert '| 2.00 ' in (tmp_path / 'table.md').read_text().splitlines()[3]


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'methods': {}}, 'methods={} must have at least one'),
    ({'methods': {'token_cascade': (0.3,)}}, "'token_cascade' does not draft"),
    ({'methods': {'chow': (2.0,)}}, 'methods.chow'),
    ({'slots': 0}, 'slots'),
    ({'method': 'token_cascade'}, "method='token_cascade' does not draft"),
    ({'method': 'chow', 'alpha': 9.0}, 'alpha=9 is out of range'),
    ({'method': 'lossy_beta'}, 'takes more than alpha'),
    ({'trials': 0, 'grid_trials': 0}, 'trials=0 and grid_trials=0'),
  ],
)
def test_what_is_wrong_is_told_in_a_line(tiny_folder, fields, line):
  with pytest.raises(ValueError, match=line) as error:
    _study(tiny_folder, **fields)
  assert '\n' not in str(error.value)


def test_the_command(tiny_folder, tmp_path, capsys):
  code = entry_point.call(
    'batching',
    f'--workdir={tmp_path}',
    f'--config.pair={tiny_folder}',
    '--config.task=word_problems',
    '--config.num_examples=5',
    '--config.slots=2',
    '--config.grid_examples=2',
    '--config.grid_slots=3',
    '--config.gamma=2',
    "--config.methods={'token_v3': (0.1,), 'chow': (0.3,)}",
    '--config.trials=1',
  )
  assert code is None
  out = capsys.readouterr().out
  assert _equal(out) == ['5/5', '5/5', '4/4', '4/4']
