"""What a narrow compute type changes, and how near ties it was."""

import dataclasses

import numpy as np
import pytest

from speccascade import config, tasks
from speccascade.studies import flips
from tests.runs import entry_point


@pytest.fixture(scope='module', autouse=True)
def _short_answers():
  load = tasks.load
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      tasks,
      'load',
      lambda *args: dataclasses.replace(load(*args), max_new_tokens=24),
    )
    yield


def _study(folder, **changes):
  values = dict(pair=folder, task='word_problems', num_examples=40)
  return config.parse(
    flips.Flips, values | dict(gamma=3, batch_size=25) | changes
  )


@pytest.fixture(scope='module')
def ways(tiny_folder):
  """(study, float32, bfloat16)."""
  study = _study(tiny_folder)
  wide = flips.measure(study, study.workload('float32'))
  narrow = flips.measure(study, study.workload('bfloat16'), wide.plain)
  return study, wide, narrow


def test_answers_that_are_read_again_choose_their_own_tokens(ways):
  """Token by token and in blocks that no answer is a multiple of."""
  _, wide, _ = ways
  held_ExN = flips.held(wide.plain)
  assert held_ExN.sum() > 100
  for way in wide:
    np.testing.assert_array_equal(way.token_ExN, wide.plain.token_ExN)
    np.testing.assert_array_equal(
      way.best_ExN[held_ExN], wide.plain.token_ExN[held_ExN]
    )
  one_ExN, block_ExN = (way.margin_ExN[held_ExN] for way in wide)
  np.testing.assert_allclose(one_ExN, block_ExN, rtol=0, atol=1e-4)
  assert one_ExN.min() > 0


def test_answers_are_read_no_further_than_the_longest(ways):
  study, wide, _ = ways
  cut = wide.plain._replace(length_E=np.minimum(wide.plain.length_E, 5))
  for block, way in zip((1, 4), flips.measure(
    study, study.workload('float32'), cut
  ), strict=True):  # fmt: skip
    end = -(-5 // block) * block
    np.testing.assert_allclose(
      way.margin_ExN[:, :end], wide.plain.margin_ExN[:, :end], atol=1e-4
    )
    assert not way.margin_ExN[:, end:].any()


def test_bfloat16_flips_near_ties_alone(ways):
  _, wide, narrow = ways
  held_ExN = flips.held(wide.plain)
  for way in narrow:
    found = flips.difference(way, wide.plain, held_ExN)
    margin = wide.plain.margin_ExN[found.flip_ExN]
    assert 0 < len(margin) < 0.5 * held_ExN.sum()
    assert margin.max() < np.median(wide.plain.margin_ExN[held_ExN])
    # What is decoded parts where a flip is first read.
    for row, flip_N in enumerate(found.flip_ExN):
      first = flip_N.argmax() if flip_N.any() else held_ExN[row].sum()
      same_N = way.token_ExN[row] == wide.plain.token_ExN[row]
      assert same_N[:first].all()


def _way(rows, best):
  """Answers of up to 3 tokens; the margins are 0.1, 0.2, 0.3, ...."""
  length_E = np.array([len(row) for row in rows])
  token_ExN = np.array([row + [0] * (3 - len(row)) for row in rows])
  best_ExN = np.array(best)
  margin_ExN = 0.1 * (1 + np.arange(best_ExN.size)).reshape(best_ExN.shape)
  return flips.Way(token_ExN, length_E, best_ExN, margin_ExN, 0.5)


_RIGHT = _way([[7, 8, 9], [7, 1], [5]], [[7, 8, 9], [7, 1, 4], [5, 4, 4]])
_WRONG = _way([[7, 6, 6], [7, 1], [5, 3]], [[7, 6, 9], [7, 1, 3], [5, 3, 4]])


def test_differences_by_hand():
  """What is read behind an answer does not count; a longer answer differs."""
  found = flips.difference(_WRONG, _RIGHT, flips.held(_RIGHT))
  assert np.argwhere(found.flip_ExN).tolist() == [[0, 1]]
  assert found.at == [1, 1]


def test_tables_by_hand():
  wide, narrow = flips.Ways(_RIGHT, _RIGHT), flips.Ways(_WRONG, _RIGHT)
  rows = _cells(flips.table('bfloat16', 'accuracy', wide, narrow))[2:]
  none = ['0 of 6, 0.00%', '–', '0 of 3', '–', '0.5']
  some = ['1 of 6, 16.67%', '0.200, 0.200', '2 of 3', '1', '0.5']
  assert rows == [
    ['float32, strict', 'float32, plain', *none],
    ['bfloat16, plain', 'float32, plain', *some],
    ['bfloat16, strict', 'float32, plain', *none],
    ['bfloat16, strict', 'bfloat16, plain', *some],
  ]
  rows = _cells(flips.margins('bfloat16', wide, narrow))[2:]
  assert rows[5:] == [
    ['0.1 to 0.3', '2', '50.0%', '0.0%'],
    ['0.3 to 1', '4', '0.0%', '0.0%'],
    ['1 or more', '0', '–', '–'],
  ]


def _cells(table):
  """The cells of each line of a table."""
  return [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in table.splitlines()
  ]


def test_the_command_prints_its_tables(ways, tiny_folder, capsys):
  study, wide, narrow = ways
  code = entry_point.call(
    'flips',
    *(f'--config.pair={tiny_folder}', '--config.task=word_problems'),
    '--config.num_examples=40',
    *('--config.gamma=3', '--config.batch_size=25'),
  )
  assert code is None
  printed, error = capsys.readouterr()
  assert error == 'float32 done\n'
  metric = tasks.load('word_problems', {}).metric
  assert flips.table(study.dtype, metric, wide, narrow) in printed
  assert flips.margins(study.dtype, wide, narrow) in printed
  assert 'word_problems, pair pair, γ = 3, 40 examples' in printed
