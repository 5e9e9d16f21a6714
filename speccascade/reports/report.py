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
from speccascade.reports.sections import (
  advice,
  calibration,
  control,
  details,
  drafters,
  lengths,
  positions,
  table2,
)
from speccascade.reports.stats import cells, law, points
from speccascade.storage import files

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
    pooled: whether lossless methods have one quality, see `law.pooled`.
  """

  make: MakeSection
  each_cell: bool = False
  pooled: bool = True


PARTS: tuple[Part, ...] = (
  Part(table2.section),
  Part(details.section, each_cell=True),
  Part(lengths.section, each_cell=True),
  Part(positions.section, each_cell=True),
  Part(drafters.section),
  Part(calibration.section),
  Part(advice.section),
  Part(control.section, pooled=False),
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
  text = page.markdown(found)
  contents = {
    'report.md': text,
    'report.html': page.html('Speculative cascades', found, images),
    'points.csv': tables.csv(*points.columns_and_rows(records)),
    'tables.tex': '\n'.join(map(tables.latex, all_tables)),
    **{
      f'{table.name}.csv': tables.csv(table.columns, table.rows)
      for table in all_tables
      if table.name
    },
    **images,
  }
  for name, content in contents.items():
    files.write(epath.Path(out) / name, content)
  return text


def sections(records: list[dict]) -> list[page.Section]:
  """Returns the sections of PARTS.

  Lossless methods have one quality in those that say so, see `law.pooled`.

  Raises:
    ValueError: as `write`.
  """
  if not records:
    raise ValueError('no records to report')
  pooled = law.pooled(records)
  groups = cells.by_cell(pooled)
  prefixes = file_prefixes(groups)
  found = []
  for part in PARTS:
    if part.each_cell:
      found += [
        _prefixed(part.make(own), prefixes[cell])
        for cell, own in groups.items()
      ]
    else:
      found.append(part.make(pooled if part.pooled else records))
  return [section for section in found if section is not None]


def file_prefixes(all_cells: Iterable[cells.Cell]) -> dict[cells.Cell, str]:
  """Returns the prefix of the file names of each pair and task.

  A pair may be the path of a folder: its last component is the name, so that
  files stay in the report's folder. Prefixes are short, of plain characters,
  and distinct on any file system; that of a single cell is empty.
  """
  all_cells = list(all_cells)
  if len(all_cells) == 1:
    return {all_cells[0]: ''}
  prefixes = {}
  for cell in all_cells:
    names = [pathlib.PurePath(name).name for name in cell]
    # A link in Markdown, for example, ends at a space.
    name = '_'.join(map(_file_name, names))
    prefix, i = f'{name}_', 1
    taken = {other.lower() for other in prefixes.values()}
    while prefix.lower() in taken:
      i += 1
      prefix = f'{name}_{i}_'
    prefixes[cell] = prefix
  return prefixes


def _file_name(name):
  """A short name of plain characters that neither '.' nor '-' begins."""
  return re.sub(r'[^\w.-]', '-', name, flags=re.ASCII)[:60].lstrip('.-')


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
