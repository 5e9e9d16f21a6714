"""Draws answers side by side: which model wrote what, in colour."""

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import figure, patches

from speccascade.reports.render import escape

Run = tuple[str, bool]  # Text, and whether the drafter wrote it.


class Answer(NamedTuple):
  """An answer in runs of tokens.

  Attributes:
    id: of the point's text.
    score: by the task's metric.
    runs: in order; together they are the text.
    tokens: how many there are.
    corrected: how many of them the verifier wrote.
  """

  id: str
  score: float
  runs: tuple[Run, ...]
  tokens: int
  corrected: int


class Compared(NamedTuple):
  """An example with two answers.

  Attributes:
    example: index in the split.
    why: what it shows.
    strict: answer of strict.
    other: of the method.
  """

  example: int
  why: str
  strict: Answer
  other: Answer


_WIDE = 62  # Characters of a line.
_SIZE = 7.5  # Points of a letter.
_WIDTH = 0.64 * _SIZE / 72  # Inches of a letter, at 150 pixels an inch.
_HEIGHT = 1.25 * _SIZE / 72  # Inches of a line.
_FONT = 'DejaVu Sans Mono'
_MARK = '#882255'  # Behind what the verifier wrote.


def draw(found: Sequence[Compared]) -> figure.Figure:
  """Draws a row for each example: strict's answer beside the method's.

  The verifier's tokens are white on dark; all others are drafts that were kept.
  """
  made = [(x, [_lines(a.runs) for a in (x.strict, x.other)]) for x in found]
  heights = [max(map(len, both)) + 4.5 for _, both in made]
  fig = figure.Figure(
    figsize=(2 * (_WIDE + 4) * _WIDTH, (sum(heights) + 1) * _HEIGHT)
  )
  wide, high = fig.get_size_inches()
  top = high - 0.5 * _HEIGHT
  for (compared, both), height in zip(made, heights, strict=True):
    head = f'Example {compared.example}: {compared.why}'
    _write(fig, 1, top, head, fontsize=_SIZE + 1.5, family='sans-serif')
    for column, (answer, own) in enumerate(
      zip((compared.strict, compared.other), both, strict=True)
    ):
      left = 1 + column * (_WIDE + 4)
      told = (
        f'{answer.id}: score {answer.score:g}, {answer.tokens} tokens, '
        f"{answer.corrected} the verifier's"
      )
      _write(fig, left, top - 1.5 * _HEIGHT, told, color='0.4')
      for n, line in enumerate(own):
        y = top - (3 + n) * _HEIGHT
        for at, text, drafted in line:
          _part(fig, left + at, y, text, drafted)
    top -= height * _HEIGHT
  return fig


def _part(fig, character, y, text, drafted):
  """Writes what one model wrote of a line."""
  wide, high = fig.get_size_inches()
  if not drafted:
    where = character * _WIDTH / wide, (y - 0.92 * _HEIGHT) / high
    size = len(text) * _WIDTH / wide, _HEIGHT / high
    box = patches.Rectangle(where, *size, color=_MARK, linewidth=0)
    fig.add_artist(box)
  # Word by word: a renderer rounds the width of each letter.
  for word in re.finditer(r'\S+', text):
    look = dict(color='#333333' if drafted else '#ffffff', family=_FONT)
    _write(fig, character + word.start(), y, word[0], **look)


def _write(fig, character, y, text, fontsize=_SIZE, **look):
  wide, high = fig.get_size_inches()
  fig.text(
    character * _WIDTH / wide,
    y / high,
    escape.printable(text),
    va='top',
    fontsize=fontsize,
    **look,
  )


def _lines(runs: Sequence[Run]) -> list[list[tuple[int, str, bool]]]:
  """Breaks runs into lines of (place, text, whether drafted)."""
  text = ''.join(text for text, _ in runs)
  drafted = [own for text, own in runs for _ in text]
  found, at = [], 0
  for paragraph in text.split('\n'):
    breaks = textwrap.wrap(
      paragraph, _WIDE, drop_whitespace=False, replace_whitespace=False,
      expand_tabs=False, break_on_hyphens=False,
    ) or ['']  # fmt: skip
    for line in breaks:
      found.append(_runs(line, drafted[at : at + len(line)]))
      at += len(line)
    at += 1  # The newline.
  return found


def _runs(line, drafted):
  """The parts of a line that one model wrote."""
  found, start = [], 0
  for i in range(1, len(line) + 1):
    if i == len(line) or drafted[i] != drafted[start]:
      found.append((start, line[start:i], drafted[start]))
      start = i
  return found
