"""A table of text, and its form in Markdown, LaTeX, HTML and CSV."""

import csv as csv_lib
import dataclasses
import html as html_lib
import io
import re
from collections.abc import Sequence

import tabulate

_NUMBER = re.compile(r'[-−+]?\.?\d')

# What pdflatex would misread or lacks in its default encoding. A star or
# bracket after the mark of a row's end would be its argument.
_TEX = str.maketrans(
  {
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
)


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
  escape = lambda cell: cell.replace('|', r'\|')  # noqa: E731
  grid = tabulate.tabulate(
    [list(map(escape, row)) for row in table.rows],
    list(map(escape, table.columns)),
    tablefmt='pipe',
    disable_numparse=True,
    colalign=['right' if right else 'left' for right in numeric(table)],
  )
  return '\n\n'.join(filter(None, [grid, table.caption])) + '\n'


def latex(table: Table) -> str:
  r"""Returns a table environment; it needs \usepackage{booktabs} alone.

  Not by tabulate, which would escape the mathematics that stand for symbols.
  """
  align = ''.join('r' if right else 'l' for right in numeric(table))
  header, *rows = (
    ' & '.join(map(_tex, row)) + r' \\' for row in (table.columns, *table.rows)
  )
  lines = [
    r'\begin{table}',
    r'\centering',
    rf'\begin{{tabular}}{{{align}}}',
    r'\toprule',
    header,
    r'\midrule',
    *rows,
    r'\bottomrule',
    r'\end{tabular}',
  ]
  if table.caption:
    lines.append(rf'\caption{{{_tex(table.caption)}}}')
  return '\n'.join([*lines, r'\end{table}']) + '\n'


def html(table: Table) -> str:
  """Returns a <figure> of the table, in a box that scrolls, and its caption.

  Cells of numeric columns are of class "number", the box of class "wide".
  """
  classes = [' class="number"' if right else '' for right in numeric(table)]

  def row(tag, cells):
    marked = (
      f'<{tag}{class_}>{html_lib.escape(cell)}</{tag}>'
      for class_, cell in zip(classes, cells, strict=True)
    )
    return f'<tr>{"".join(marked)}</tr>'

  label = html_lib.escape(f'Table: {", ".join(table.columns)}')
  lines = [
    '<figure>',
    # A box with a tab index can be scrolled by keyboard.
    f'<div class="wide" role="region" aria-label="{label}" tabindex="0">',
    '<table>',
    '<thead>',
    row('th', table.columns),
    '</thead>',
    '<tbody>',
    *(row('td', cells) for cells in table.rows),
    '</tbody>',
    '</table>',
    '</div>',
  ]
  if table.caption:
    caption = html_lib.escape(table.caption)
    lines.append(f'<figcaption>{caption}</figcaption>')
  return '\n'.join([*lines, '</figure>']) + '\n'


def csv(table: Table) -> str:
  """Returns the columns and rows, without the caption."""
  text = io.StringIO()
  csv_lib.writer(text, lineterminator='\n').writerows(
    [table.columns, *table.rows]
  )
  return text.getvalue()


def _tex(text):
  return text.translate(_TEX)
