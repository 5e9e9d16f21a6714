"""Hours, computed by hand, from rows of a table."""

import json
import subprocess
import sys

import pytest

from speccascade.aot import estimate
from tests.runs import entry_point

_CELL = estimate.Cell(('small', 'large'), 'v5e:2x4', 1024)


def _row(batch, iteration, **changes):
  row = {
    'pair': ['small', 'large'],
    'version': 'v5e',
    'slice': 'v5e:2x4',
    'prompt': 1024,
    'batch': batch,
    'gamma': 1,
    'needs': {'devices': 8},
    'times': {'iteration': iteration},
  }
  return {k: x for k, x in (row | changes).items() if x is not None}


def _work(**changes):
  values = dict(
    examples=100, settings=6, batch=64, timed=0, new_tokens=150, acceptance=0.5
  )
  return estimate.Work(**values | changes)


# Of what fits no slice that was asked for, as `compile_tpu` tells it.
_TOO_LARGE = _row(64, 0, slice=None, needs=None, times=None) | {
  'tried': {'v5e:2x2': 'INTERNAL', 'v5e:2x4': 3e10}
}
_ROWS = [_row(1, 2.0), _row(64, 36.0), _row(64, 9.0, slice='v5e:4x4')]


def test_hours_are_those_of_the_iterations_of_all_batches():
  told = estimate.report(_ROWS, _CELL, _work(timed=1800))
  # 600 answers are 10 batches; 150 tokens at 1.5 an iteration are 100 of them.
  assert 'small → large on v5e:2x4, 8 chips' in told
  assert 'scored: 600 answers, 64 at a time: 0.01 h' in told
  assert 'timed: 1800 answers, one at a time: 0.1 h' in told
  assert 'together: 0.11 h, 0.88 chip-hours' in told
  assert 'never measured: a floor' in told


def test_a_chip_of_two_devices_counts_once():
  rows = [_row(64, 36.0, version='tpu7x', slice='tpu7x:2x2x1')]
  cell = estimate.Cell(('small', 'large'), 'tpu7x:2x2x1', 1024)
  assert '4 chips' in estimate.report(rows, cell, _work())


@pytest.mark.parametrize(
  ('rows', 'work', 'told'),
  [
    (_ROWS[1:], {'timed': 1}, 'batch 1 on v5e:2x4 (of it: none); compile'),
    (_ROWS[2:], {}, 'batch 64 on v5e:2x4 (of it: v5e:4x4); compile'),
    ([_TOO_LARGE], {}, 'does not fit v5e:2x4, or does not compile'),
    ([_row(64, 1.0, gamma=None)], {}, 'does not tell gamma; run'),
    (_ROWS, {'acceptance': 1.5}, 'acceptance=1.5 must be from 0 to 1'),
    (_ROWS, {'batch': 0}, 'batch=0 must be positive'),
    (_ROWS, {'timed': -1}, 'timed=-1 must not be negative'),
  ],
)
def test_what_cannot_be_estimated_is_told_in_one_line(rows, work, told):
  with pytest.raises(ValueError) as error:
    estimate.report(rows, _CELL, _work(**work))
  assert told in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'content',
  [
    {'rows': _ROWS},
    [*_ROWS, 1],
    [{'model': 'small', 'slice': 'v5e:2x4', 'batch': 64, 'needs': {}}],
  ],
)
def test_a_file_of_another_form_is_named(content, tmp_path):
  path = tmp_path / 'table.json'
  path.write_text(json.dumps(content))
  with pytest.raises(ValueError, match=f'{path} is no table of pairs; name'):
    estimate.read(path)


def test_the_entry_point_prints_it(tmp_path, capsys):
  (tmp_path / 'table.json').write_text(json.dumps(_ROWS))
  ended = entry_point.call(
    'estimate_tpu',
    f'--table={tmp_path}/table.json',
    '--pair=small,large',
    '--slice=v5e:2x4',
    '--batch=64',
    '--examples=100',
    '--settings=6',
    '--new_tokens=150',
    '--acceptance=0.5',
  )
  assert ended is None
  assert 'together: 0.01 h, 0.08 chip-hours' in capsys.readouterr().out


def test_it_needs_no_jax():
  code = (
    'import sys\n'
    'from speccascade.runs import command_line\n'
    'from speccascade.aot import estimate\n'
    'sys.exit("jax" in sys.modules)'
  )
  subprocess.run([sys.executable, '-c', code], cwd=entry_point.ROOT, check=True)
