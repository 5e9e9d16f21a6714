"""Tests of speccascade.reports.report and of the command around it."""

import os
import pathlib
import subprocess
import sys

import pytest
from matplotlib import image

from speccascade import records as records_lib
from speccascade.reports import report

_ROOT = pathlib.Path(__file__).parents[2]


def _run(*flags):
  return subprocess.run(
    [sys.executable, _ROOT / 'experiments' / 'report.py', *flags],
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(_ROOT), 'PYTHONIOENCODING': 'utf-8'},
  )


def test_writes_table_points_and_figures(sweep, tmp_path):
  table = report.write(sweep, tmp_path / 'new' / 'out')
  out = tmp_path / 'new' / 'out'
  assert {path.name for path in out.iterdir()} == {
    'report.md',
    'report.html',
    'tables.tex',
    'table2_temperature0.csv',
    'table2_temperature1.csv',
    'points.csv',
    'quality_latency.png',
    'quality_rejection.png',
    'calibration.png',
  }
  assert (out / 'report.md').read_text() == table
  assert len((out / 'points.csv').read_text().splitlines()) == 1 + len(sweep)
  wide = image.imread(out / 'quality_latency.png')
  narrow = image.imread(out / 'quality_rejection.png')
  assert wide.shape[1] > narrow.shape[1]
  assert wide.std() > 0.05  # not a blank page


def test_no_records_is_an_error(tmp_path):
  with pytest.raises(ValueError, match='no records'):
    report.write([], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_command_prints_the_table(sweep, tmp_path):
  path = tmp_path / 'records.jsonl'
  for record in sweep:
    records_lib.append(path, record)
  with open(path, 'ab') as f:
    f.write(b'{"id": "torn')
  done = _run(f'--records={path}', f'--out={tmp_path / "out"}')
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'out' / 'report.md').read_text() in done.stdout


@pytest.mark.parametrize('content', [None, '', '{"id": "torn'])
def test_command_says_what_is_missing(tmp_path, content):
  path = tmp_path / 'records.jsonl'
  if content is not None:
    path.write_text(content)
  done = _run(f'--records={path}')
  assert done.returncode == 1
  assert done.stderr.splitlines() == [
    f'report: no finished record in {path}; run a sweep first'
  ]
