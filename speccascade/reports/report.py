"""Writes the report of records: Markdown, LaTeX, CSV, figures and one page.

To add a section, write a function from records to a section and list it in
PARTS.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from etils import epath

from speccascade.reports.render import page, tables
from speccascade.reports.sections import advice, calibration, details, table2
from speccascade.reports.stats import cells, law, points

_DPI = 150


class MakeSection(Protocol):
  """Makes a section of a report."""

  def __call__(self, records: list[dict]) -> page.Section | None:
    """Returns the section; None where the records have nothing for it."""


class Part(NamedTuple):
  """A part of the report.

  Attributes:
    make: makes a section.
    each_cell: whether each pair and task has a section of its own; otherwise
      one is made of all records.
  """

  make: MakeSection
  each_cell: bool = False


PARTS: tuple[Part, ...] = (
  Part(table2.section),
  Part(details.section, each_cell=True),
  Part(calibration.section),
  Part(advice.section),
)


def write(records: list[dict], out: epath.PathLike, dpi: float = _DPI) -> str:
  """Writes the report of records into a folder and returns it as Markdown.

  Args:
    records: what `records.read` returned, of one or several pairs and tasks.
    out: folder, made if there is none, for report.md, report.html, tables.tex
      and points.csv, for the CSV of each table that has a name, and for the
      figures.
    dpi: pixels per inch of the figures.

  Raises:
    ValueError: there are no records, or those of a pair and task do not
      compare.
  """
  found = sections(records)
  figures, all_tables = (
    [x for section in found for x in section.body if isinstance(x, kind)]
    for kind in (page.Figure, tables.Table)
  )
  images = {figure.name: page.png(figure, dpi) for figure in figures}
  out = epath.Path(out)
  out.mkdir(parents=True, exist_ok=True)
  text = _markdown(found)
  (out / 'report.md').write_text(text)
  html = page.html('Speculative cascades', found, images)
  (out / 'report.html').write_text(html)
  (out / 'points.csv').write_text(points.to_csv(records))
  (out / 'tables.tex').write_text('\n'.join(map(tables.latex, all_tables)))
  for table in all_tables:
    if table.name:
      (out / f'{table.name}.csv').write_text(tables.csv(table))
  for name, image in images.items():
    (out / name).write_bytes(image)
  return text


def sections(records: list[dict]) -> list[page.Section]:
  """Returns the sections of PARTS.

  Lossless methods have one quality in all of them, see `law.pooled`.

  Raises:
    ValueError: as `write`.
  """
  if not records:
    raise ValueError('no records to report')
  records = law.pooled(records)
  groups = cells.by_cell(records)
  prefixes = file_prefixes(groups)
  found = []
  for part in PARTS:
    if part.each_cell:
      found += [
        _prefixed(part.make(own), prefixes[cell])
        for cell, own in groups.items()
      ]
    else:
      found.append(part.make(records))
  return [section for section in found if section is not None]


def file_prefixes(all_cells: Iterable[cells.Cell]) -> dict[cells.Cell, str]:
  """Returns the prefix of the file names of each pair and task.

  A pair may be the path of a folder: its last component is the name, so that
  files stay in the report's folder. Prefixes are distinct; that of a single
  cell is empty.
  """
  all_cells = list(all_cells)
  if len(all_cells) == 1:
    return {all_cells[0]: ''}
  prefixes = {}
  for cell in all_cells:
    names = [pathlib.PurePath(name).name for name in cell]
    # A link in Markdown, for example, ends at a space.
    name = '_'.join(re.sub(r'[^\w.-]', '-', name) for name in names)
    prefix, i = f'{name}_', 1
    while prefix in prefixes.values():
      i += 1
      prefix = f'{name}_{i}_'
    prefixes[cell] = prefix
  return prefixes


def _prefixed(section, prefix):
  """The section with prefixed names of files."""
  if section is None:
    return None
  body = []
  for block in section.body:
    if isinstance(block, page.Figure):
      block = block._replace(name=prefix + block.name)
    elif isinstance(block, tables.Table) and block.name:
      block = dataclasses.replace(block, name=prefix + block.name)
    body.append(block)
  return section._replace(body=body)


def _markdown(found):
  parts = []
  for section in found:
    parts.append(f'## {section.heading}')
    for block in section.body:
      if isinstance(block, tables.Table):
        parts.append(tables.markdown(block).rstrip())
      elif isinstance(block, page.Figure):
        parts.append(f'![{block.alt}]({block.name})')
      else:
        parts.append(block)
  return '\n\n'.join(parts) + '\n'
