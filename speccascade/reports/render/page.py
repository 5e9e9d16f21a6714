"""A report's sections as one HTML page, as Markdown, and their figures.

The page needs nothing else: styles, images and scripts are inside. Headings,
paragraphs, cells and captions are plain text, which is escaped here and in
`tables`.
"""

import base64
import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

import matplotlib as mpl
from matplotlib import figure as figure_lib
from matplotlib import text as text_lib

from speccascade.reports.render import escape, panels, plots, tables

# Nothing is fetched, and nothing is run but the page's own scripts, should
# something pass for markup after all.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """\
:root {
  color-scheme: light dark;
  --text: #1c1c1c; --faint: #5f5f5f; --line: #d8d8d8; --page: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6e6e6; --faint: #a6a6a6; --line: #444444; --page: #161616;
  }
}
body {
  max-width: 64rem; margin: 0 auto; padding: 1rem;
  font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--page);
}
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
p { max-width: 44rem; }
a { color: inherit; }
nav ol { padding-left: 1.5rem; }
figure { margin: 1.5rem 0; }
img {
  max-width: 100%; height: auto; padding: .5rem; box-sizing: border-box;
  background: #ffffff; border: 1px solid var(--line);
}
.row { display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.plot { height: 340px; background: #ffffff; border: 1px solid var(--line); }
summary { color: var(--faint); font-size: .875rem; }
figcaption {
  max-width: 50rem; padding-top: .5rem;
  color: var(--faint); font-size: .875rem;
}
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; }
th, td {
  padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: left; white-space: nowrap;
}
th { vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
@media print {
  body { max-width: none; padding: 0; font-size: 9pt; }
  table { font-size: 7pt; }
  .wide { overflow-x: visible; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
}
"""


class Figure(NamedTuple):
  """A figure of a section, drawn when the report is written.

  Attributes:
    name: of its PNG file.
    draw: returns the figure.
    caption: plain text under it.
    alt: plain text in its place.
    chart: what it shows, for a page whose readers ask for values.
  """

  name: str
  draw: Callable[[], figure_lib.Figure]
  caption: str
  alt: str
  chart: panels.Chart | None = None


class Section(NamedTuple):
  """A heading and what is under it, in order; paragraphs are text."""

  heading: str
  body: list[str | tables.Table | Figure]


def png(figure: Figure, dpi: float) -> bytes:
  """Returns the figure as a PNG image.

  Args:
    figure: of a section.
    dpi: pixels per inch.
  """
  image = io.BytesIO()
  with mpl.rc_context({'text.parse_math': False}):
    drawn = figure.draw()
    for text in drawn.findobj(text_lib.Text):
      text.set_text(escape.label(text.get_text()))
    drawn.savefig(image, format='png', dpi=dpi)
  return image.getvalue()


def markdown(sections: list[Section], level: int = 2) -> str:
  """Returns the sections with their figures as links.

  Args:
    sections: in order; one with an empty heading has none.
    level: of the headings.
  """
  blocks = []
  for section in sections:
    if section.heading:
      heading = escape.markdown(escape.short(section.heading))
      blocks.append(f'{"#" * level} {heading}')
    blocks += map(_markdown_block, section.body)
  return '\n\n'.join(blocks) + '\n'


def html(
  title: str, sections: list[Section], images: Mapping[str, bytes]
) -> str:
  """Returns the whole page.

  Args:
    title: plain text, as are headings, paragraphs, cells and captions.
    sections: in order; a table of contents lists them.
    images: the PNG of each of the sections' figures, by its name.
  """
  title = escape.html(title)
  drawn = []  # All plots of the page.
  body = [
    _section(i, x, images, drawn) for i, x in enumerate(sections, start=1)
  ]
  scripts, digests = plots.scripts(drawn) if drawn else ('', [])
  policy = _POLICY
  if digests:
    policy += '; script-src ' + ' '.join(f"'{digest}'" for digest in digests)
  lines = [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    f'<title>{title}</title>',
    f'<style>\n{_STYLE}</style>',
    '</head>',
    '<body>',
    f'<h1>{title}</h1>',
    _contents(sections),
    '<main>',
    *body,
    '</main>',
    scripts,
    '</body>',
    '</html>',
  ]
  return '\n'.join(lines) + '\n'


def _contents(sections):
  links = (
    f'<li><a href="#section-{i}">{_heading(section)}</a></li>'
    for i, section in enumerate(sections, start=1)
  )
  return '\n'.join(
    ['<nav aria-label="Contents">', '<ol>', *links, '</ol>', '</nav>']
  )


def _section(number, section, images, drawn):
  return '\n'.join(
    [
      f'<section id="section-{number}">',
      f'<h2>{_heading(section)}</h2>',
      *(_html_block(block, images, drawn) for block in section.body),
      '</section>',
    ]
  )


def _heading(section):
  return escape.html(escape.short(section.heading))


def _markdown_block(block):
  if isinstance(block, str):
    return escape.paragraph(block)
  if isinstance(block, tables.Table):
    return tables.markdown(block).rstrip()
  return f'![{escape.markdown(block.alt)}]({block.name})'


def _html_block(block, images, drawn):
  if isinstance(block, str):
    return f'<p>{escape.html(block)}</p>'
  if isinstance(block, tables.Table):
    return tables.html(block).rstrip()
  image = base64.b64encode(images[block.name]).decode()
  image = (
    f'<img src="data:image/png;base64,{image}" alt="{escape.html(block.alt)}">'
  )
  if block.chart is not None:
    image = _with_plots(block.chart, image, drawn)
  return (
    f'<figure>\n{image}\n'
    f'<figcaption>{escape.html(block.caption)}</figcaption>\n</figure>'
  )


def _with_plots(chart, image, drawn):
  """Places for a chart's plots, which join all of the page; its image."""
  lines = []
  for title, row in plots.of_chart(chart):
    places = range(len(drawn), len(drawn) + len(row))
    drawn += row
    lines += [
      f'<p>{escape.html(title)}</p>',
      '<div class="row">',
      *(f'<div class="{plots.CLASS}" data-plot="{i}"></div>' for i in places),
      '</div>',
    ]
  summary = '<summary>The same as a picture</summary>'
  return '\n'.join([*lines, '<details>', summary, image, '</details>'])
