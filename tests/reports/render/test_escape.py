"""Tests of what becomes of foreign text in each format."""

import io

import pytest
from matplotlib import figure, image

from speccascade.reports.render import escape, page, tables


@pytest.mark.parametrize(
  ('text', 'shown'),
  [
    ('\x1b[31mred\x07', r'\x1b[31mred\x07'),
    ('\x9b2J\x00\x7f', r'\x9b2J\x00\x7f'),
    ('a\r\tb', r'a\r\tb'),
    ('\u202eevil\u2066', r'\u202eevil\u2066'),  # Changes the order.
    ('a\u200bb\u200d\ufeff\xad', r'a\u200bb\u200d\ufeff\xad'),  # Is not seen.
    ('a\u2028b\u2029c\x85', r'a\u2028b\u2029c\x85'),  # Ends a line.
    ('\ud800', r'\ud800'),
    ('\ue000', r'\ue000'),
    ('Grüße, 数学, α ≤ 1\xa0%\na', 'Grüße, 数学, α ≤ 1\xa0%\na'),
  ],
)
def test_hidden_characters_are_shown(text, shown):
  assert escape.printable(text) == shown
  assert escape.printable(shown) == shown


def test_a_line_is_short():
  assert escape.line('a\nb\x1b') == r'a\nb\x1b'
  assert escape.short('a\nb') == r'a\nb'
  assert escape.short('a' * 200) == 'a' * 200
  assert escape.short('a' * 300 + 'b' * 9999) == f'{"a" * 99}…{"b" * 100}'


@pytest.mark.parametrize(
  ('text', 'markdown'),
  [
    ('<b>&lt;', '&lt;b>&amp;lt;'),
    ('[a](b)', r'[a\](b)'),
    ('![a][b]', r'![a\][b]'),
    ('[a]: b', r'[a\]: b'),
    ('0.5 [0.4, 0.6]', '0.5 [0.4, 0.6]'),
    ('*a* `b` ~c~ $d$ # e', r'\*a\* \`b\` \~c\~ \$d\$ \# e'),
    ('token_v3_alpha', 'token_v3_alpha'),
    ('_a_ __b__', r'\_a\_ \_\_b\_\_'),
    ('a|b\\', r'a\|b\\'),
    ('http://x www.x WWW.x', r'http\://x www\.x WWW\.x'),
    ('a\n# b', r'a\\n\# b'),
  ],
)
def test_markdown(text, markdown):
  assert escape.markdown(text) == markdown


@pytest.mark.parametrize(
  ('text', 'markdown'),
  [
    ('a\n  b\n\n\nc ', 'a\nb\nc'),
    ('a\n# b\n- c\n+ d\n* e', 'a\n\\# b\n\\- c\n\\+ d\n\\* e'),
    ('> a\n1. b\n12) c\n1.5\n-2', '\\> a\n1\\. b\n12\\) c\n1.5\n-2'),
    ('a\n===\n---\n:-: | -', 'a\n\\===\n\\---\n\\:-: \\| -'),
    ('```\na', '\\`\\`\\`\na'),
  ],
)
def test_lines_of_a_paragraph_begin_nothing(text, markdown):
  assert escape.paragraph(text) == markdown


@pytest.mark.parametrize(
  ('cell', 'shown'),
  [
    ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
    ('@SUM(1)', "'@SUM(1)"),
    ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
    ('-2+3+A1', "'-2+3+A1"),
    (' =1', "' =1"),
    ('＝1', "'＝1"),
    ('\t=1', r'\t=1'),
    ('-', "'-"),
    ('-0.5', '-0.5'),
    ('+12.3% ± 1.1%', '+12.3% ± 1.1%'),
    ('-1e-05 0.5 -2', '-1e-05 0.5 -2'),
    ('a=b', 'a=b'),
    ('a\nb', r'a\nb'),
    (-0.5, -0.5),
    (None, None),
    (True, True),
  ],
)
def test_csv(cell, shown):
  assert escape.csv(cell) == shown
  assert type(escape.csv(cell)) is type(cell)


def test_latex_has_no_command_and_no_new_line():
  text = '\\input{/etc/passwd}\n\n$x$ % 数\x1b'
  assert escape.latex(text) == (
    r'\textbackslash{}input\{/etc/passwd\}\textbackslash{}n'
    r'\textbackslash{}n\$x\$ \% U+6570\textbackslash{}x1b'
  )


def test_html_of_an_attribute():
  assert escape.html('"><script>\'\x1b') == (
    r'&quot;&gt;&lt;script&gt;&#x27;\x1b'
  )


def _png(text):
  def draw():
    fig = figure.Figure(figsize=(4, 1))
    fig.suptitle(text)
    return fig

  return page.png(page.Figure('a.png', draw, '', ''), dpi=20)


def test_figures_draw_text_as_it_is():
  for text in (r'$\undefined{$ $', '$$', r'\$x$'):  # Mathematics, or nearly.
    assert image.imread(io.BytesIO(_png(text))).std() > 0.01
  assert _png('$a$') != _png('a')
  assert _png('a\x1b\u202eb') == _png(r'a\x1b\u202eb')


def test_labels_of_figures_are_short():
  assert escape.label('pair a, batch 1\nb') == 'pair a, batch 1\nb'
  long = escape.label(f'pair {"a" * 99}, ' * 99)
  assert long.startswith(f'pair {"a" * 19}…{"a" * 19}, pair a')
  assert len(long) <= 200
  assert escape.label('a\n' * 99).startswith('a\na\na')
  assert escape.label('a\n' * 99).count('\n') == 2


def test_cells_and_headings_are_short():
  name = 'x' * 10_000
  table = tables.Table([name], [[name]])
  section = page.Section(name, [table])
  for text in (
    page.markdown([section]),
    page.html('a', [section], {}),
    tables.latex(table),
  ):
    assert 'x' * 101 not in text
    assert '…' in text or r'\ldots{}' in text
