import json

import pytest
from etils import epath

from speccascade.tasks import files

KEYS = ('question', 'answer')
ROW = {'question': 'How many?', 'answer': 'A green\u2028house.', 'id': 7}


@pytest.fixture
def file(tmp_path):
  return epath.Path(tmp_path) / 'test.jsonl'


def _write(file, *lines):
  file.write_bytes('\n'.join(lines).encode())


def test_rows_are_texts_by_key(file):
  _write(file, json.dumps(ROW), json.dumps(ROW, ensure_ascii=False), '')
  rows = files.jsonl(file, KEYS)
  assert rows == [
    (f'{file}, line {n}', ('How many?', 'A green\u2028house.')) for n in (1, 2)
  ]


def test_the_last_line_may_have_no_newline(file):
  _write(file, 'a', 'b')
  assert [line for _, line in files.lines(file)] == [b'a', b'b']


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps(ROW)[:20], 'is not valid JSON: .+'),
    ('', 'is not valid JSON: .+'),
    ('[1, 2]', "must have the keys 'question' and 'answer'"),
    ('{"question": "How?"}', "must have the keys 'question' and 'answer'"),
    (
      '{"question": "How?", "answer": 3}',
      ": 'question' and 'answer' must be non-empty strings",
    ),
    (
      '{"question": " ", "answer": "3"}',
      ": 'question' and 'answer' must be non-empty strings",
    ),
  ],
)
def test_a_bad_line_is_named(file, line, message):
  _write(file, json.dumps(ROW), line, '')
  with pytest.raises(ValueError, match=rf'test\.jsonl, line 2:? ?{message}$'):
    files.jsonl(file, KEYS)


def test_a_missing_file_is_named(file):
  with pytest.raises(ValueError, match=r'^there is no file .*test\.jsonl;'):
    files.jsonl(file, KEYS)


@pytest.mark.parametrize('index', [2, -1])
def test_a_missing_row_is_named(file, index):
  message = rf'test\.jsonl has 2 examples; there is no example {index}$'
  with pytest.raises(ValueError, match=message):
    files.item('ab', index, file)
  assert files.item('ab', 1, file) == 'b'
