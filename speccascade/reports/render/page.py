"""One HTML page that needs nothing else: styles and images are inside."""

import base64
import html as html_lib
import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

from matplotlib import figure as figure_lib

from speccascade.reports.render import tables

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
  """

  name: str
  draw: Callable[[], figure_lib.Figure]
  caption: str
  alt: str


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
  figure.draw().savefig(image, format='png', dpi=dpi)
  return image.getvalue()


def html(
  title: str, sections: list[Section], images: Mapping[str, bytes]
) -> str:
  """Returns the whole page.

  Args:
    title: plain text, as are headings, paragraphs, cells and captions.
    sections: in order; a table of contents lists them.
    images: the PNG of each of the sections' figures, by its name.
  """
  title = html_lib.escape(title)
  lines = [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    f'<title>{title}</title>',
    f'<style>\n{_STYLE}</style>',
    '</head>',
    '<body>',
    f'<h1>{title}</h1>',
    _contents(sections),
    '<main>',
    *(_section(i, x, images) for i, x in enumerate(sections, start=1)),
    '</main>',
    '</body>',
    '</html>',
  ]
  return '\n'.join(lines) + '\n'


def _contents(sections):
  links = (
    f'<li><a href="#section-{i}">{html_lib.escape(section.heading)}</a></li>'
    for i, section in enumerate(sections, start=1)
  )
  return '\n'.join(
    ['<nav aria-label="Contents">', '<ol>', *links, '</ol>', '</nav>']
  )


def _section(number, section, images):
  return '\n'.join(
    [
      f'<section id="section-{number}">',
      f'<h2>{html_lib.escape(section.heading)}</h2>',
      *(_block(block, images) for block in section.body),
      '</section>',
    ]
  )


def _block(block, images):
  if isinstance(block, str):
    return f'<p>{html_lib.escape(block)}</p>'
  if isinstance(block, tables.Table):
    return tables.html(block).rstrip()
  image = base64.b64encode(images[block.name]).decode()
  return (
    f'<figure>\n<img src="data:image/png;base64,{image}" '
    f'alt="{html_lib.escape(block.alt)}">\n'
    f'<figcaption>{html_lib.escape(block.caption)}</figcaption>\n</figure>'
  )
