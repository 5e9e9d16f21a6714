"""Tests of speccascade.reports.report and of the command around it."""

import os
import pathlib
import subprocess
import sys

import pytest
import synthetic
from matplotlib import image

from speccascade import records as records_lib
from speccascade.reports import cells, report

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


def _write(path, records):
  path.parent.mkdir(parents=True, exist_ok=True)
  records_lib.append_lines(path, records)
  return path


def _error(*flags):
  done = _run(*flags)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  return line


def test_figures_of_a_pair_that_is_a_path_stay_in_the_folder(tmp_path):
  # Two that share their last component, and one with what a link ends at.
  pairs = [f'{tmp_path}/a/pair', f'{tmp_path}/b/pair', '../my pair/']
  records = [synthetic.record('verifier_alone', pair=pair) for pair in pairs]
  records += [synthetic.record('strict', None, 5, pair=p) for p in pairs]
  out = tmp_path / 'reports' / 'out'
  text = report.write(records, out)
  prefixes = ['pair_word_problems_', 'pair_word_problems_2_']
  prefixes += ['my-pair_word_problems_']
  names = [
    f'{prefix}{curve}.png'
    for prefix in prefixes
    for curve in ('quality_latency', 'quality_rejection')
  ]
  assert {path.name for path in out.glob('*.png')} == (
    {*names, 'calibration.png'}
  )
  assert all(f']({name})' in text for name in names)
  assert {path.name for path in tmp_path.iterdir()} == {'reports'}
  assert [path.name for path in out.parent.iterdir()] == ['out']


@pytest.mark.parametrize(
  'names',
  [
    [('a/x', 't'), ('b/x', 't'), ('x', 't_2'), ('c/x', 't')],
    [('x', 't'), ('x', 't/'), ('x', '..'), ('/', '/'), ('a|b', 'c:d')],
  ],
)
def test_prefixes_are_distinct_and_safe(names):
  prefixes = report.file_prefixes([cells.Cell(*name) for name in names])
  assert len(set(prefixes.values())) == len(names)
  for prefix in prefixes.values():
    assert not set(prefix) & set('/\\|: ')


def test_a_folder_stands_for_its_records(tmp_path):
  record = synthetic.record('verifier_alone')
  own = _write(tmp_path / 'one' / 'records.jsonl', [record]).parent
  done = _run(f'--records={own}')
  assert done.returncode == 0, done.stderr
  assert (own / 'report.md').exists()
  other = record | {'task': 'other'}
  _write(tmp_path / 'two' / 'records.jsonl', [other])
  (tmp_path / 'outputs').mkdir()
  done = _run(f'--records={tmp_path}')
  assert done.returncode == 0, done.stderr
  text = (tmp_path / 'report.md').read_text()
  assert text.index('Task word_problems') < text.index('Task other')
  nothing = tmp_path / 'outputs'
  assert _error(f'--records={nothing}') == (
    f'report: no finished record in {nothing}/records.jsonl; run a sweep first'
  )


def test_a_record_given_twice_is_refused(tmp_path):
  record = synthetic.record('verifier_alone')
  one, two = (
    _write(tmp_path / name / 'records.jsonl', [record]) for name in 'ab'
  )
  assert _error(f'--records={one}', f'--records={two}') == (
    "report: record 'verifier_alone-None-None-0' of pair word_problems, task "
    f'word_problems is both in {one} and in {two}; give one of the two'
  )


def test_devices_of_a_cell_do_not_mix(tmp_path):
  tpu = dict(device='TPU v5e × 8')
  records = [
    synthetic.record('verifier_alone'),
    # Another task may be of another device.
    synthetic.record('drafter_alone', task='other', **tpu),
    synthetic.record('strict', None, 5, **tpu),
  ]
  one = _write(tmp_path / 'a.jsonl', records[:1])
  two = _write(tmp_path / 'b.jsonl', records[1:])
  assert _error(f'--records={one}', f'--records={two}') == (
    'report: latencies of pair word_problems, task word_problems are from '
    f"several devices: 'cpu (AMD EPYC), 2 cores' in {one} and 'TPU v5e × 8' in "
    f'{two}; report each device on its own'
  )


def test_an_error_of_the_system_is_one_line(tmp_path):
  path = _write(tmp_path / 'r.jsonl', [synthetic.record('verifier_alone')])
  line = _error(f'--records={path}', f'--out={path}/out')
  assert line.startswith('report: ')
  assert f'{path}/out' in line
