"""A table of text, and its form in Markdown, LaTeX, HTML and CSV."""

import csv as csv_lib
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import tabulate

from speccascade.reports.render import escape

_NUMBER = re.compile(r'[-−+]?\.?\d')


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows of cells under columns, with a caption.

  Attributes:
    columns: names, one a column; they may repeat.
    rows: one cell of text a column.
    caption: sentences that explain the table; may be empty.
    name: of its own CSV file, without the suffix; a table without has none.

  Raises:
    ValueError: a row has more or fewer cells than there are columns.
  """

  columns: Sequence[str]
  rows: Sequence[Sequence[str]]
  caption: str = ''
  name: str = ''

  def __post_init__(self):
    for row in self.rows:
      if len(row) != len(self.columns):
        raise ValueError(
          f'row {list(row)} has {len(row)} cells for the {len(self.columns)} '
          f'columns {", ".join(self.columns)}'
        )


def numeric(table: Table) -> list[bool]:
  """Returns which columns hold numbers: any cell starts with one."""
  return [
    any(_NUMBER.match(row[i]) for row in table.rows)
    for i in range(len(table.columns))
  ]


def markdown(table: Table) -> str:
  """Returns a pipe table, then the caption as a paragraph."""
  columns, rows = _escaped(table, escape.markdown)
  grid = tabulate.tabulate(
    rows,
    columns,
    tablefmt='pipe',
    disable_numparse=True,
    colalign=['right' if right else 'left' for right in numeric(table)],
  )
  caption = escape.paragraph(table.caption)
  return '\n\n'.join(filter(None, [grid, caption])) + '\n'


def latex(table: Table) -> str:
  r"""Returns a table environment; it needs \usepackage{booktabs} alone.

  Not by tabulate, which would escape the mathematics that stand for symbols.
  """
  align = ''.join('r' if right else 'l' for right in numeric(table))
  columns, rows = _escaped(table, escape.latex)
  header, *lines = (' & '.join(row) + r' \\' for row in (columns, *rows))
  lines = [
    r'\begin{table}',
    r'\centering',
    rf'\begin{{tabular}}{{{align}}}',
    r'\toprule',
    header,
    r'\midrule',
    *lines,
    r'\bottomrule',
    r'\end{tabular}',
  ]
  if table.caption:
    lines.append(rf'\caption{{{escape.latex(table.caption)}}}')
  return '\n'.join([*lines, r'\end{table}']) + '\n'


def html(table: Table) -> str:
  """Returns a <figure> of the table, in a box that scrolls, and its caption.

  Cells of numeric columns are of class "number", the box of class "wide".
  """
  classes = [' class="number"' if right else '' for right in numeric(table)]
  columns, rows = _escaped(table, escape.html)

  def row(tag, cells):
    marked = (
      f'<{tag}{class_}>{cell}</{tag}>'
      for class_, cell in zip(classes, cells, strict=True)
    )
    return f'<tr>{"".join(marked)}</tr>'

  lines = [
    '<figure>',
    # A box with a tab index can be scrolled by keyboard.
    f'<div class="wide" role="region" aria-label="Table: {", ".join(columns)}" '
    'tabindex="0">',
    '<table>',
    '<thead>',
    row('th', columns),
    '</thead>',
    '<tbody>',
    *(row('td', cells) for cells in rows),
    '</tbody>',
    '</table>',
    '</div>',
  ]
  if table.caption:
    lines.append(f'<figcaption>{escape.html(table.caption)}</figcaption>')
  return '\n'.join([*lines, '</figure>']) + '\n'


def csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
  """Returns a CSV file of columns and rows; None is an empty cell."""
  text = io.StringIO()
  writer = csv_lib.writer(text, lineterminator='\n')
  writer.writerows(map(escape.csv, row) for row in (columns, *rows))
  return text.getvalue()


def _escaped(table, form):
  """The columns and rows with each name and cell in a form."""
  columns, *rows = (
    [form(escape.short(cell)) for cell in row]
    for row in (table.columns, *table.rows)
  )
  return columns, rows
