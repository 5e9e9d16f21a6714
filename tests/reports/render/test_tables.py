"""Tests of tables in Markdown, LaTeX, HTML and CSV."""

import csv
import io

import pytest

from speccascade.reports.render import tables

_TABLE = tables.Table(
  ['rule', 'speed-up', 'γ', 'α'],
  [
    ['token_v3', '2.97× ± 3.2%', 'cost ≤ 16', '-0.2'],
    ['a|b', 'not reached', '–', '–'],
  ],
  'A caption.',
)


def test_markdown():
  assert tables.markdown(_TABLE) == (
    '| rule     |     speed-up | γ         |    α |\n'
    '|:---------|-------------:|:----------|-----:|\n'
    '| token_v3 | 2.97× ± 3.2% | cost ≤ 16 | -0.2 |\n'
    '| a\\|b     |  not reached | –         |    – |\n'
    '\n'
    'A caption.\n'
  )


def test_no_caption_no_paragraph():
  table = tables.Table(['a'], [['1']])
  assert tables.markdown(table) == '|   a |\n|----:|\n|   1 |\n'
  assert 'caption' not in tables.html(table)
  assert 'caption' not in tables.latex(table)


def test_latex():
  assert tables.latex(_TABLE) == (
    '\\begin{table}\n'
    '\\centering\n'
    '\\begin{tabular}{lrlr}\n'
    '\\toprule\n'
    r'rule & speed-up & $\gamma$ & $\alpha$ \\' + '\n'
    '\\midrule\n'
    r'token\_v3 & 2.97$\times$ $\pm$ 3.2\% & cost $\le$ 16 & -0.2 \\' + '\n'
    r'a$|$b & not reached & -- & -- \\' + '\n'
    '\\bottomrule\n'
    '\\end{tabular}\n'
    '\\caption{A caption.}\n'
    '\\end{table}\n'
  )


@pytest.mark.parametrize(
  ('cell', 'tex'),
  [
    ('«a»', r'$\ll$a$\gg$'),
    ('50% & #1', r'50\% \& \#1'),
    ('{$x^2$}', r'\{\$x\textasciicircum{}2\$\}'),
    (r'\input', r'\textbackslash{}input'),
    ('a~b<c>', r'a\textasciitilde{}b$<$c$>$'),
    ('[1, 2]', '{[}1, 2{]}'),  # would be an option of the \\ before it
    ('*', '{*}'),  # likewise
    ('β = ½ − 1 ≥ π', r'$\beta$ = ½ $-$ 1 $\ge$ $\pi$'),
    ('Grüße', 'Grüße'),  # pdflatex reads UTF-8
  ],
)
def test_latex_escapes_cells_columns_and_captions(cell, tex):
  lines = tables.latex(tables.Table([cell], [[cell]], cell)).splitlines()
  assert lines[4] == lines[6] == tex + r' \\'
  assert lines[9] == f'\\caption{{{tex}}}'


def test_html():
  table = tables.Table(['a<b', 'n'], [['"x" & y', '1']], '<caption>')
  text = tables.html(table)
  assert '<tr><th>a&lt;b</th><th class="number">n</th></tr>' in text
  assert (
    '<tr><td>&quot;x&quot; &amp; y</td><td class="number">1</td></tr>' in text
  )
  assert '<figcaption>&lt;caption&gt;</figcaption>' in text
  assert 'aria-label="Table: a&lt;b, n"' in text


def test_csv():
  rows = list(csv.reader(io.StringIO(tables.csv(_TABLE.columns, _TABLE.rows))))
  assert rows == [list(_TABLE.columns), *map(list, _TABLE.rows)]


def test_numbers_are_told_from_text():
  rows = [
    ['a1', '.5', '−1', '+3', '–', 'not reached', 'γ = 5'],
    ['2', 'x', '–', '–', '–', '–', 'x'],
  ]
  table = tables.Table(list('abcdefg'), rows)
  assert tables.numeric(table) == [True, True, True, True, False, False, False]
  empty = tables.Table(['a', 'b'], [])
  assert tables.numeric(empty) == [False, False]
  assert tables.markdown(empty).splitlines()[0].split() == list('|a|b|')


def test_ragged_rows_are_refused():
  with pytest.raises(ValueError, match=r"\['1'\] has 1 cells for the 2 .*a, b"):
    tables.Table(['a', 'b'], [['1', '2'], ['1']])
