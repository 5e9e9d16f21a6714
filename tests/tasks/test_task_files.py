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


@pytest.mark.parametrize(
  'content',
  [
    'a\nb c',
    'a\nb c\n',
    'a\r\nb c\r\n',
    '\ufeffa\nb c\n\n \n\r\n',
    'a\n\ufeffb c',
  ],
)
def test_line_ends_and_marks_are_no_text(file, content):
  file.write_bytes(content.encode())
  assert [line for _, line in files.lines(file)] == ['a', 'b c']


# Blanks of any kind, combined and composed accents, an invisible letter.
KEPT = ' \ta\u2028b\x85c\xa0d\u200be\x0bf e\u0301 \xe9 \u202eg '


def test_other_characters_stay(file):
  file.write_bytes(f'x\n{KEPT}\ny'.encode())
  assert [line for _, line in files.lines(file)] == ['x', KEPT, 'y']


def test_texts_in_json_are_cleaned(file):
  row = {'question': f'\ufeffa\r\nb\rc\n{KEPT}', 'answer': 'd'}
  _write(file, json.dumps(row))
  ((_, texts),) = files.jsonl(file, KEYS)
  assert texts == (f'a\nb\nc\n{KEPT}', 'd')


def _row(answer):
  return f'{{"question": "How?", "answer": {answer}}}'


LACKS = "must have the keys 'question' and 'answer'"
BLANK = ": 'answer' must be a text that is not blank, got"


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps(ROW)[:20], 'is not valid JSON: .+ at character 14'),
    ('', 'is not valid JSON: Expecting value at character 1'),
    ('[' * 100_000, 'is not valid JSON: its brackets are nested too deeply'),
    (_row('[' * 100_000), 'is not valid JSON: its .+ nested too deeply'),
    (_row('1' * 5000), 'is not valid JSON: Exceeds the limit .+'),
    (_row('"3", "answer": "4"'), "is not .+: the key 'answer' is there twice"),
    ('[1, 2]', LACKS),
    ('null', LACKS),
    ('{"question": "How?"}', LACKS),
    (_row('3'), f'{BLANK} int'),
    (_row('["3"]'), f'{BLANK} list'),
    (_row('null'), f'{BLANK} NoneType'),
    (_row('" "'), f'{BLANK} a blank one'),
    (_row(r'"\ud800"'), r"is not valid JSON: '\\ud800' is half a character"),
    (_row('1, "n": NaN'), 'is not valid JSON: NaN is not a finite number'),
    (_row(r'"\u0000"'), r": 'answer' has the character '\\x00', which no .+"),
    ('\0', r"has the character '\\x00', which no tokenizer takes; remove it"),
  ],
)
def test_a_bad_line_is_named(file, line, message):
  _write(file, json.dumps(ROW), line, json.dumps(ROW))
  with pytest.raises(ValueError, match=rf'test\.jsonl, line 2:? ?{message}$'):
    files.jsonl(file, KEYS)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'is empty'),
    (b'\r\n\n  \n', 'is empty'),
    ('a\nb'.encode('utf-16'), 'is UTF-16; save it as UTF-8'),
    ('a\nb'.encode('utf-16-be'), r"line 1 has the character '\\x00', .+"),
    ('a\n\xe9'.encode('latin-1'), 'line 2 is not valid UTF-8: .+ at byte 1'),
    (b'a\nb\xed\xa0\x80', 'line 2 is not valid UTF-8: .+ at byte 2'),
  ],
)
def test_what_is_no_text_is_named(file, content, message):
  file.write_bytes(content)
  with pytest.raises(ValueError, match=rf'test\.jsonl,? {message}$'):
    list(files.lines(file))


def test_a_missing_file_is_named(file):
  with pytest.raises(ValueError, match=r'^there is no file .*test\.jsonl;'):
    files.jsonl(file, KEYS)
  file.mkdir()
  with pytest.raises(ValueError, match=r'test\.jsonl is a folder, not a file'):
    files.jsonl(file, KEYS)


@pytest.mark.parametrize('index', [2, -1])
def test_a_missing_row_is_named(file, index):
  message = rf'test\.jsonl has 2 examples; there is no example {index}$'
  with pytest.raises(ValueError, match=message):
    files.item('ab', index, file)
  assert files.item('ab', 1, file) == 'b'
