r"""Text from files of benchmarks, one example a line: all tasks read it here.

Texts are kept as they are, since they are scored, but for their line ends and
marks: '\r\n' and '\r' are '\n', a byte order mark is nothing, and blank lines
at the end of a file are none. No other character ends a line: U+2028 and U+0085
belong to texts. What no tokenizer takes is refused, with its file and line.
"""

import codecs
import re
from collections.abc import Iterator

from etils import epath

_UTF16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
_UNTAKEN = re.compile('[\0\ud800-\udfff]')  # The others are half characters.


def clean(text: str, where: str) -> str:
  """Returns a text with plain line ends and without byte order marks.

  Args:
    text: of a file or of a user.
    where: words that say where it is, for the message.

  Raises:
    ValueError: it has a character that no tokenizer takes.
  """
  text = text.replace('\r\n', '\n').replace('\r', '\n').replace('\ufeff', '')
  if found := _UNTAKEN.search(text):
    raise ValueError(
      f'{where} has the character {found[0]!r}, which no tokenizer takes; '
      'remove it'
    )
  return text


def lines(file: epath.Path) -> Iterator[tuple[str, str]]:
  """Yields the lines of a file, each after the words that say where it is.

  Raises:
    ValueError: there is no such file, it is empty, or a line is not text.
    OSError: the file cannot be read.
  """
  for number, line in enumerate(_read(file), 1):
    where = f'{file}, line {number}'
    try:
      text = line.decode()
    except UnicodeDecodeError as error:
      raise ValueError(
        f'{where} is not valid UTF-8: {error.reason} at byte {error.start + 1}'
      ) from None
    yield where, clean(text.removesuffix('\r'), where)


def _read(file):
  """The lines of a file, bytes."""
  if not file.exists():
    raise ValueError(f'there is no file {file}; path names the folder it is in')
  if file.is_dir():
    raise ValueError(f'{file} is a folder, not a file of examples')
  content = file.read_bytes()
  if content.startswith(_UTF16):
    raise ValueError(f'{file} is UTF-16; save it as UTF-8')
  rows = content.split(b'\n')
  while rows and not rows[-1].strip():
    rows.pop()
  if not rows:
    raise ValueError(f'{file} is empty')
  return rows
