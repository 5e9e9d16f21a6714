r"""Text as a format of a report can show it, whoever wrote the text.

Names of pairs, tasks and methods, devices and tokens may come from elsewhere.
Whatever is rendered passes here, so that in no format any of it is markup, a
link, a formula or an order to the terminal. What cannot be seen, or changes the
order of what can, is written as Python writes it: '\x1b', '\u202e'.
"""

import html as html_lib
import re
import unicodedata
from typing import Any

_LONGEST = 200  # Characters of a cell, a heading or a line of a figure.
_LONGEST_WORD = 40  # Of a figure.

# What Markdown of any dialect takes for markup, wherever it stands. Within a
# word, '_' is none; ']' ends a link before these alone.
_MARKUP = re.compile(
  r'[\\`*#~|$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(:\[])|:(?=//)|(?<=www)\.',
  re.IGNORECASE,
)
# What it takes for a list, a heading, a rule or a table at the start of a line.
_START = re.compile(r'^(?:[>+=:]|-(?!\d)|\d+[.)](?=\s|$))', re.MULTILINE)

# A cell that begins so is a formula to a spreadsheet, unless it is a number or
# several, with units.
_FORMULA = re.compile(r'\s*[=+\-@＝＋－＠]')
_NUMBERS = re.compile(r'[-+]?[\d.][\d.eE%×± ,\[\]()+\-–]*')

# What pdflatex would misread or lacks in its default encoding. A star or
# bracket after the mark of a row's end would be its argument.
_TEX = {
  '\\': r'\textbackslash{}',
  '^': r'\textasciicircum{}',
  '~': r'\textasciitilde{}',
  **{char: f'\\{char}' for char in '&%$#_{}'},
  **{char: f'${char}$' for char in '<>|'},
  **{char: f'{{{char}}}' for char in '[]*'},
  '–': '--',
  '…': r'\ldots{}',
  '−': '$-$',
  '×': r'$\times$',
  '·': r'$\cdot$',
  '±': r'$\pm$',
  '≤': r'$\le$',
  '≥': r'$\ge$',
  '≈': r'$\approx$',
  '→': r'$\to$',
  '«': r'$\ll$',
  '»': r'$\gg$',
  'α': r'$\alpha$',
  'β': r'$\beta$',
  'γ': r'$\gamma$',
  'π': r'$\pi$',
  'τ': r'$\tau$',
}
_LAST_OF_PDFLATEX = '\u017f'  # Latin letters with accents.


def printable(text: str) -> str:
  """Returns a text of one or more lines without hidden characters."""
  return ''.join(map(_shown, text))


def line(text: str) -> str:
  """Returns a text as one printable line."""
  return printable(text).replace('\n', r'\n')


def short(text: str, longest: int = _LONGEST) -> str:
  """Returns a text as one printable line, without its middle if it is long."""
  text = line(text)
  half = longest // 2
  return text if len(text) <= longest else f'{text[: half - 1]}…{text[-half:]}'


def markdown(text: str) -> str:
  """Returns text for a heading or a cell of Markdown."""
  text = _MARKUP.sub(r'\\\g<0>', line(text).replace('&', '&amp;'))
  return text.replace('<', '&lt;')


def paragraph(text: str) -> str:
  """Returns text for a paragraph of Markdown; its lines stay lines."""
  lines = (part.strip() for part in text.split('\n'))
  text = '\n'.join(markdown(part) for part in lines if part)
  return _START.sub(lambda found: f'{found[0][:-1]}\\{found[0][-1]}', text)


def html(text: str) -> str:
  """Returns text for an element, or for an attribute in quotes."""
  return html_lib.escape(printable(text))


def latex(text: str) -> str:
  """Returns text for a cell or a caption."""
  return ''.join(map(_tex, line(text)))


def csv(value: Any) -> Any:
  """Returns a cell: a text that is no formula, or what is not text as it is."""
  if not isinstance(value, str):
    return value
  text = line(value)
  is_formula = _FORMULA.match(text) and not _NUMBERS.fullmatch(text)
  return f"'{text}" if is_formula else text


def label(text: str) -> str:
  """Returns text of a figure, up to three lines; `page.png` draws no '$x$'."""
  return '\n'.join(map(_label, text.split('\n', 2)))


def _label(text):
  words = text[: 2 * _LONGEST].split(' ')
  return short(' '.join(short(word, _LONGEST_WORD) for word in words))


def _shown(char):
  if char.isprintable() or char == '\n' or unicodedata.category(char) == 'Zs':
    return char
  return char.encode('unicode_escape').decode()


def _tex(char):
  if char in _TEX:
    return _TEX[char]
  return char if char <= _LAST_OF_PDFLATEX else f'U+{ord(char):04X}'
