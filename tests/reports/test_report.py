"""Tests of the report as a whole and of the command around it."""

import ast
import csv
import json
import pathlib
import re

import pytest
from matplotlib import image

import speccascade
from speccascade.reports import load, report
from speccascade.reports.render import page, tables
from speccascade.reports.stats import cells
from speccascade.runs import records as records_lib
from tests.reports import synthetic
from tests.runs import entry_point

_DPI = 30


@pytest.fixture(scope='module')
def written(sweep, tmp_path_factory):
  """The text and folder of a report."""
  out = tmp_path_factory.mktemp('report') / 'new' / 'out'
  return report.write(sweep, out, _DPI), out


def test_writes_table_points_and_figures(sweep, written):
  table, out = written
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
  for name in ('quality_latency', 'quality_rejection'):
    assert image.imread(out / f'{name}.png').std() > 0.05  # not a blank page
  page = (out / 'report.html').read_text()
  # Two samplings of one panel each, of two figures.
  assert page.count('<div class="plot" data-plot=') == 4


def test_no_records_is_an_error(tmp_path):
  with pytest.raises(ValueError, match='no records'):
    report.write([], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


@pytest.fixture
def undrawn(monkeypatch):
  """Does not draw figures, which takes most of the time of a report."""
  monkeypatch.setattr(page, 'png', lambda figure, dpi: figure.name.encode())


@pytest.fixture
def command(undrawn, capsys):
  """Runs the command; returns what it exits with and what it prints."""

  def run(*args):
    code = entry_point.call('report', *args)
    return code, capsys.readouterr().out

  return run


def test_command_prints_the_table(command, tmp_path):
  path = _write(tmp_path / 'r.jsonl', [synthetic.record('verifier_alone')])
  with open(path, 'ab') as f:
    f.write(b'{"id": "torn')
  out = tmp_path / 'out'
  code, printed = command(f'--records={path}', f'--out={out}')
  assert not code
  assert printed == (
    f'{(out / "report.md").read_text()}\n'
    f'Written to {out}: report.html, tables and figures.\n'
  )


@pytest.mark.parametrize('content', [None, '', '{"id": "torn'])
def test_command_says_what_is_missing(command, tmp_path, content):
  path = tmp_path / 'records.jsonl'
  if content is not None:
    path.write_text(content)
  line = f'report: no finished record in {path}; run a sweep first'
  assert command(f'--records={path}') == (line, '')


def _write(path, records):
  records_lib.write(path, records)
  return path


def test_figures_of_a_pair_that_is_a_path_stay_in_the_folder(undrawn, tmp_path):
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
  others = ['calibration.png', 'drafters.png']
  images = {path.name: path.read_bytes() for path in out.glob('*.png')}
  assert images == {n: n.encode() for n in (*names, *others)}
  assert all(f']({name})' in text for name in names)
  assert {path.name for path in tmp_path.iterdir()} == {'reports'}
  assert [path.name for path in out.parent.iterdir()] == ['out']


@pytest.mark.parametrize(
  'names',
  [
    [('a/x', 't'), ('b/x', 't'), ('x', 't_2'), ('c/x', 't')],
    [('x', 't'), ('x', 't/'), ('x', '..'), ('/', '/'), ('a|b', 'c:d')],
    [('x' * 300, 't'), ('x' * 301, 't'), ('é' * 300, '数' * 300)],
    [('x', 't'), ('X', 'T'), ('-rf', '.t'), ('--rf', 't'), ('a\n\x1b', '')],
  ],
)
def test_prefixes_are_distinct_and_safe(names):
  prefixes = report.file_prefixes([cells.Cell(*name) for name in names])
  assert len({prefix.lower() for prefix in prefixes.values()}) == len(names)
  for prefix in prefixes.values():
    assert re.fullmatch(r'\w[\w.-]{0,149}', prefix, re.ASCII)


def test_a_folder_stands_for_its_records(tmp_path):
  record = synthetic.record('verifier_alone')
  own = _write(tmp_path / 'one' / 'records.jsonl', [record]).parent
  assert load.load([own]) == [record]
  other = record | {'task': 'other'}
  _write(tmp_path / 'two' / 'records.jsonl', [other])
  nothing = tmp_path / 'zero'
  nothing.mkdir()
  assert load.load([tmp_path]) == [record, other]
  assert load.load([tmp_path / 'two', own / 'records.jsonl']) == [other, record]
  message = f'no finished record in {nothing}/records.jsonl; run a sweep first'
  with pytest.raises(ValueError, match=message):
    load.load([nothing])


def test_the_report_is_written_beside_the_records(command, tmp_path):
  path = _write(tmp_path / 'r.jsonl', [synthetic.record('verifier_alone')])
  assert not command(f'--records={path}')[0]
  assert (tmp_path / 'report.md').exists()
  folder = tmp_path / 'folder'
  _write(folder / 'records.jsonl', [synthetic.record('verifier_alone')])
  assert not command(f'--records={folder}')[0]
  assert (folder / 'report.md').exists()


def test_a_record_given_twice_is_refused(command, tmp_path):
  record = synthetic.record('verifier_alone')
  one, two = (
    _write(tmp_path / name / 'records.jsonl', [record]) for name in 'ab'
  )
  line, _ = command(f'--records={one}', f'--records={two}')
  assert line == (
    "report: record 'verifier_alone-None-0' of pair 'word_problems', task "
    f"'word_problems' is in {one} and in {two}; give one of the two"
  )


def test_devices_of_a_cell_do_not_mix(command, tmp_path):
  tpu = dict(device='TPU v5e × 8')
  records = [
    synthetic.record('verifier_alone'),
    # Another task may be of another device.
    synthetic.record('drafter_alone', task='other', **tpu),
    synthetic.record('strict', None, 5, **tpu),
  ]
  one = _write(tmp_path / 'a.jsonl', records[:1])
  two = _write(tmp_path / 'b.jsonl', records[1:])
  assert load.load([_write(tmp_path / 'c.jsonl', records[:2])]) == records[:2]
  line, _ = command(f'--records={one}', f'--records={two}')
  assert line == (
    "report: records of pair 'word_problems', task 'word_problems' do not "
    f"compare: device of 'verifier_alone-None-0' in {one} is 'cpu (AMD EPYC), "
    f"2 cores', of 'strict-5-0' in {two} it is 'TPU v5e × 8'; report each on "
    'its own'
  )


@pytest.mark.parametrize(
  'field', ['dtype', 'seed', 'metric', 'num_examples', 'device']
)
def test_what_a_cell_shares_is_checked(tmp_path, field):
  one = synthetic.record('verifier_alone')
  scores = [1, 1, 1] if field == 'num_examples' else [1, 1]
  other = dict(dtype='bfloat16', seed=7, device='TPU', metric='rouge2')
  changes = {field: other[field]} if field in other else {}
  two = synthetic.record('strict', None, 5, scores=scores, **changes)
  path = _write(tmp_path / 'r.jsonl', [one, two])
  message = f"do not compare: {field} of 'verifier_alone-None-0' in .* 'strict-"
  with pytest.raises(ValueError, match=message):
    load.load([path])


def test_old_figures_of_rouge_keep_their_meaning(tmp_path):
  record = synthetic.record('verifier_alone')
  for schema, metric in ((1, 'rouge2_unstemmed'), (2, 'rouge2')):
    path = tmp_path / f'{schema}.jsonl'
    old = record | {'schema': schema, 'metric': 'rouge2'}
    path.write_text(json.dumps(old) + '\n')
    assert [r['metric'] for r in load.load([path])] == [metric]


def test_two_records_of_one_point_are_refused(tmp_path):
  one = synthetic.record('strict', None, 5)
  path = _write(tmp_path / 'r.jsonl', [one, one | {'id': 'again'}])
  message = (
    f"^records 'strict-5-0' in {path} and 'again' in {path}, of pair "
    "'word_problems', task 'word_problems', are one point; delete one of them$"
  )
  with pytest.raises(ValueError, match=message):
    load.load([path])
  other = one | {'id': 'other', 'schedule_parameter': 1e-9}
  assert len(load.load([_write(tmp_path / 's.jsonl', [one, other])])) == 2


def test_a_record_that_contradicts_itself_is_named(command, tmp_path):
  record = synthetic.record('verifier_alone', block_efficiency=40.0)
  path = _write(tmp_path / 'r.jsonl', [record])
  line, _ = command(f'--records={path}')
  assert line == (
    f"report: {path}: record 'verifier_alone-None-0': block_efficiency is 40, "
    'but other fields tell 4'
  )


def test_nothing_is_written_through_a_link(undrawn, tmp_path):
  target, out = tmp_path / 'target', tmp_path / 'out'
  target.write_text('mine')
  out.mkdir()
  (out / 'points.csv').symlink_to(target)
  with pytest.raises(ValueError, match=r'points\.csv is a link'):
    report.write([synthetic.record('verifier_alone')], out)
  assert target.read_text() == 'mine'


def test_an_error_of_the_system_is_one_line(command, tmp_path):
  path = _write(tmp_path / 'r.jsonl', [synthetic.record('verifier_alone')])
  line, _ = command(f'--records={path}', f'--out={path}/out')
  assert line.startswith('report: ')
  assert f'{path}/out' in line
  assert '\n' not in line


def test_all_tables_and_figures_are_on_the_page(written):
  _, out = written
  html = (out / 'report.html').read_text()
  assert html.count('<img ') == 3
  grids = (out / 'tables.tex').read_text().count(r'\begin{table}')
  # Table 2 of two temperatures, two tables and lengths of each, two tables on
  # the calibration, two on the choice, and the control.
  assert html.count('<table>') == grids == 2 + 2 * 2 + 2 + 2 + 2 + 1


def test_a_part_may_have_nothing_to_say(monkeypatch, sweep):
  def cell_part(records):
    first = records[0]
    if first['task'] == 'other':
      return None
    figure = page.Figure('own.png', None, '', '')
    table = tables.Table(['n'], [[str(len(records))]], name='own')
    return page.Section('Own', [figure, table])

  parts = (
    report.Part(lambda records: None),
    report.Part(cell_part, each_cell=True),
    report.Part(lambda records: page.Section(f'{len(records)} records', [])),
  )
  monkeypatch.setattr(report, 'PARTS', parts)
  other = [r | {'task': 'other'} for r in sweep[:3]]
  own, last = report.sections([*sweep, *other])
  assert own.heading == 'Own'
  figure, table = own.body
  assert figure.name == 'word_problems_word_problems_own.png'
  assert table.name == 'word_problems_word_problems_own'
  assert table.rows == [[str(len(sweep))]]
  assert last.heading == f'{len(sweep) + 3} records'


def test_methods_of_any_parameters_and_traits(tmp_path):
  """A report of methods that no rule is like."""
  make = synthetic.record
  own = dict(plan_changes_text=True, divergence_rejects=False)
  records = [
    make('verifier_alone', scores=[1, 1, 0, 1]),
    make('drafter_alone', latency=0.1, scores=[1, 0, 0, 0]),
    make('strict', None, 5, 0.5, [1, 1, 0, 1]),
    *(
      make('two', {'alpha': a, 'beta': b}, 5, 0.5 - a, [1, 1, 0, 1])
      for a in (0.1, 0.2)
      for b in (0.5, 2)
    ),
    make('own', {'window': 3}, 3, 0.4, [1, 0, 0, 1], **own),
    make('own', {'window': 3}, 5, 0.3, [1, 1, 0, 1], **own),
  ]
  text = report.write(records, tmp_path, _DPI)
  summary, cell, _, calibration, choice, _ = report.sections(records)
  # At the verifier's quality: one plan of own does, as does each point of two.
  speedups = {row[0]: row[1].split(' ')[0] for row in summary.body[1].rows}
  assert (speedups['two'], speedups['own']) == ('3.33×', '3.33×')
  rows = {row[0]: row for row in cell.body[2].rows}
  assert rows['two'][3:5] == ['α 0.2, β 0.5', '5']
  assert rows['own'][3:5] == ['window 3', '5']
  # Texts: strict, four of two, and none of own, which does not reject by D_TV.
  (accuracy,) = calibration.body[2].rows
  assert (accuracy[3], accuracy[6]) == ('5', '7')
  chosen = {row[4]: row[5:7] for row in choice.body[1].rows}
  assert chosen['two'] == ['α 0.2, β 0.5', '5']
  assert chosen['own'] == ['window 3', '5']
  for name in ('α 0.2, β 0.5', 'window 3'):
    assert name in text
  rows = list(csv.DictReader((tmp_path / 'points.csv').open()))
  assert [row['parameters.beta'] for row in rows[3:7]] == ['0.5', '2'] * 2
  assert [row['parameters.window'] for row in rows[6:]] == ['', '3', '3']
  assert rows[-1]['traits.plan_changes_text'] == 'True'


def _imported(path):
  """Names of all that a file imports, also within functions."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def test_reports_need_no_jax_and_no_decoding():
  root = pathlib.Path(speccascade.__file__).parents[1]
  waiting = list((root / 'speccascade' / 'reports').rglob('*.py'))
  assert len(waiting) > 15
  seen, others = set(), set()
  while waiting:
    path = waiting.pop()
    if path in seen:
      continue
    seen.add(path)
    for name in _imported(path):
      parts = name.split('.')
      others.add(parts[0])
      # Importing a.b.c runs a, a.b and a.b.c.
      for i in range(1, len(parts) + 1):
        module = root.joinpath(*parts[:i])
        files = module.with_suffix('.py'), module / '__init__.py'
        waiting += [
          f for f in files if parts[0] == 'speccascade' and f.exists()
        ]
  assert 'numpy' in others  # The scan sees what is imported.
  assert not others & {'jax', 'jaxlib', 'flax'}
  rooms = {path.relative_to(root).parts[1] for path in seen}
  assert {'reports', 'tasks', 'runs'} <= rooms
  known = {'__init__.py', 'reports', 'tasks', 'runs', 'storage', 'config.py'}
  assert rooms <= known
