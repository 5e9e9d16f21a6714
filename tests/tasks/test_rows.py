"""Records from files and from datasets."""

import csv
import json
import sys
import types

import pytest

from speccascade.tasks import rows

ROW = {'question': 'How many?', 'answer': 'A green\u2028house.', 'id': 7}
KEPT = ' \ta\u2028b\x85c\xa0d\u200be\x0bf e\u0301 \xe9 \u202eg '


def _data(path):
  return rows.Data(str(path))


def _texts(data, split='test'):
  return [
    tuple(rows.text(where, row, name) for name in ('question', 'answer'))
    for where, row in rows.read(data, split)
  ]


@pytest.mark.parametrize('name', ['test.jsonl', 'test.json'])
def test_lines_and_lists_give_the_same_records(tmp_path, name):
  both = [ROW, ROW | {'answer': 'b'}]
  text = '\n'.join(map(json.dumps, both))
  (tmp_path / name).write_text(text if name[-1] == 'l' else json.dumps(both))
  want = [('How many?', 'A green\u2028house.'), ('How many?', 'b')]
  assert _texts(_data(tmp_path)) == want
  assert _texts(_data(tmp_path / name), 'any') == want


def test_lines_may_be_called_json_and_an_object_is_a_record(tmp_path):
  file = tmp_path / 'test.json'
  file.write_text(json.dumps(ROW))
  assert len(rows.read(_data(file), 'test')) == 1
  other = tmp_path / 'lines.json'
  other.write_text(f'{json.dumps(ROW)}\n{json.dumps(ROW)}\n')
  assert len(rows.read(_data(other), 'test')) == 2


def test_parquet_gives_the_same_records(tmp_path):
  pyarrow = pytest.importorskip('pyarrow')
  parquet = pytest.importorskip('pyarrow.parquet')
  table = pyarrow.Table.from_pylist([ROW, ROW | {'answer': 'b'}])
  parquet.write_table(table, tmp_path / 'test.parquet')
  want = [('How many?', 'A green\u2028house.'), ('How many?', 'b')]
  assert _texts(_data(tmp_path)) == want
  whole = (tmp_path / 'test.parquet').read_bytes()
  (tmp_path / 'torn.parquet').write_bytes(whole[:-20])
  assert len(rows.read(_data(tmp_path), 'test', 1)) == 1
  with pytest.raises(ValueError, match=r'torn\.parquet is not a whole Parquet'):
    rows.read(_data(tmp_path), 'torn')


def test_csv_gives_the_same_records(tmp_path):
  with (tmp_path / 'test.csv').open('w', newline='') as file:
    table = csv.DictWriter(file, ROW)
    table.writeheader()
    table.writerows([ROW, ROW | {'answer': 'b,\n"c"'}])
  want = [('How many?', 'A green\u2028house.'), ('How many?', 'b,\n"c"')]
  assert _texts(_data(tmp_path)) == want
  assert len(rows.read(_data(tmp_path), 'test', 1)) == 1
  (tmp_path / 'torn.csv').write_text('question\n"How')
  with pytest.raises(ValueError, match=r'torn\.csv is not valid CSV: unexpect'):
    rows.read(_data(tmp_path), 'torn')


def test_no_more_than_the_first_records_are_read(tmp_path):
  lines = [*map(json.dumps, [ROW] * 3), 'torn']
  (tmp_path / 'test.jsonl').write_text('\n'.join(lines))
  (tmp_path / 'list.json').write_text(json.dumps([ROW] * 4))
  for split in ('test', 'list'):
    assert len(rows.read(_data(tmp_path), split, 3)) == 3
  with pytest.raises(ValueError, match='line 4 is not valid JSON'):
    rows.read(_data(tmp_path), 'test')


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
  (tmp_path / 'test.parquet').write_bytes(b'PAR1')
  for module in ('pyarrow', 'pyarrow.parquet', 'datasets'):
    monkeypatch.setitem(sys.modules, module, None)
  how = r"pip install 'speccascade\[datasets\]'"
  with pytest.raises(ValueError, match=rf'test\.parquet is read with .*{how}'):
    rows.read(_data(tmp_path), 'test')
  with pytest.raises(ValueError, match=rf"'a/b' is read with datasets: {how}"):
    rows.read(rows.Data(dataset='a/b'), 'test')


@pytest.fixture
def datasets(monkeypatch):
  """A stand-in for the library; one of its datasets is not there."""
  asked = []

  def load_dataset(name, subset, *, split, streaming):
    asked.append((name, subset, split, streaming))
    if name == 'none/none':
      raise RuntimeError('no such dataset\nand more')
    found = ({'text': f'{split} {n}'} for n in range(3))
    return found if streaming else list(found)

  module = types.SimpleNamespace(load_dataset=load_dataset)
  monkeypatch.setitem(sys.modules, 'datasets', module)
  return asked


def test_datasets_are_read_by_name(datasets):
  data = rows.Data(dataset='org/data', subset='main')
  (where, row), *_ = rows.read(data, 'test')
  assert (where, row) == ('org/data main test, record 1', {'text': 'test 0'})
  rows.read(data, 'test')
  # Of a training split the first are streamed, the rest is not downloaded.
  assert len(rows.read(rows.Data(dataset='org/data'), 'train', 2)) == 2
  assert datasets == [
    ('org/data', 'main', 'test', False),
    ('org/data', None, 'train', True),
  ]
  with pytest.raises(
    ValueError, match="dataset='none/none'.*: no such dataset;"
  ):
    rows.read(rows.Data(dataset='none/none'), 'test')


def test_somewhere_must_be_named():
  with pytest.raises(ValueError, match="path='...' must name the file"):
    rows.Data()


def test_texts_are_cleaned(tmp_path):
  row = {'question': f'\ufeffa\r\nb\rc\n{KEPT}', 'answer': 'd'}
  (tmp_path / 'test.jsonl').write_text(json.dumps(row))
  assert _texts(_data(tmp_path)) == [(f'a\nb\nc\n{KEPT}', 'd')]


def _row(answer):
  return f'{{"question": "How?", "answer": {answer}}}'


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps(ROW)[:20], 'is not valid JSON: .+ at character 14'),
    ('', 'is not valid JSON: Expecting value at character 1'),
    ('[' * 100_000, 'is not valid JSON: its brackets are nested too deeply'),
    (_row('1' * 5000), 'is not valid JSON: Exceeds the limit .+'),
    (_row('"3", "answer": "4"'), "is not .+: the key 'answer' is there twice"),
    ('[1, 2]', 'must be an object, got list'),
    ('null', 'must be an object, got NoneType'),
    ('{"question": "a"}', "must have the key 'answer'; it has question"),
    (_row('3'), ": 'answer' must be str, got int"),
    (_row('["3"]'), ": 'answer' must be str, got list"),
    (_row('null'), ": 'answer' must be str, got NoneType"),
    (
      _row('" "'),
      ": 'answer' must be a text that is not blank, got a blank .*",
    ),
    (_row(r'"\ud800"'), r"is not valid JSON: '\\ud800' is half a character"),
    (_row('1, "n": NaN'), 'is not valid JSON: NaN is not a finite number'),
    (_row(r'"\u0000"'), r": 'answer' has the character '\\x00', which no .+"),
    ('\0', r"has the character '\\x00', which no tokenizer takes; remove it"),
  ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
  lines = json.dumps(ROW), line, json.dumps(ROW)
  (tmp_path / 'test.jsonl').write_bytes('\n'.join(lines).encode())
  with pytest.raises(ValueError, match=rf'test\.jsonl, line 2:? ?{message}$'):
    _texts(_data(tmp_path))


def test_fields_within_fields():
  row = {'a': {'b': ['x', 'y']}, 'c': 3}
  assert rows.texts('here', row, 'a.b') == ('x', 'y')
  assert rows.field('here', row, 'c', int) == 3
  for name, kind, message in (
    ('a.d', str, "here must have the key 'a.d'; it has a, c"),
    ('c.d', str, "here must have the key 'c.d'"),
    ('a.b', dict, "here: 'a.b' must be dict, got list"),
  ):
    with pytest.raises(ValueError, match=message):
      rows.field('here', row, name, kind)
  with pytest.raises(ValueError, match="here: 'a' must be a list of texts"):
    rows.texts('here', {'a': ['x', 3]}, 'a')


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(ValueError, match=r'has none of test\.jsonl, test\.json,'):
    rows.read(_data(tmp_path), 'test')
  with pytest.raises(ValueError, match=r'^there is no file .*none\.jsonl;'):
    rows.read(_data(tmp_path / 'none.jsonl'), 'test')
  with pytest.raises(ValueError, match=r'^there is no file .*none\.parquet'):
    rows.read(_data(tmp_path / 'none.parquet'), 'test')
