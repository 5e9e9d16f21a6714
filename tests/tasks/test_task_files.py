import pytest
from etils import epath

from speccascade.tasks import files


@pytest.fixture
def file(tmp_path):
  return epath.Path(tmp_path) / 'test.jsonl'


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
    list(files.lines(file))
  file.mkdir()
  with pytest.raises(ValueError, match=r'test\.jsonl is a folder, not a file'):
    list(files.lines(file))
