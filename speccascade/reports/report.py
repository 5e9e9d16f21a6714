"""Writes the report of records: Markdown, LaTeX, CSV, figures and one page."""

import io
import pathlib
import re
from collections.abc import Iterable

from etils import epath

from speccascade.reports import (
  advice,
  calibration,
  cells,
  details,
  figures,
  law,
  page,
  points,
  table2,
  tables,
)

_CURVES = {
  'quality_latency': (
    figures.quality_latency,
    f'Quality against latency relative to the verifier alone. {law.NOTE}',
  ),
  'quality_rejection': (
    figures.quality_rejection,
    'Quality against the share of emitted tokens that were rejected. '
    + law.NOTE,
  ),
}


def write(records: list[dict], out: epath.PathLike) -> str:
  """Writes the report of records into a folder and returns it as Markdown.

  Args:
    records: what `records.read` returned, of one or several pairs and tasks.
    out: folder, made if there is none, for report.md, report.html, tables.tex
      and points.csv, for a CSV of each of the tables that sum up, and for the
      figures.

  Raises:
    ValueError: there are no records, or those of a pair and task do not
      compare.
  """
  found = sections(records)
  out = epath.Path(out)
  out.mkdir(parents=True, exist_ok=True)
  text = _markdown(found)
  (out / 'report.md').write_text(text)
  (out / 'report.html').write_text(page.html('Speculative cascades', found))
  (out / 'points.csv').write_text(points.to_csv(records))
  (out / 'tables.tex').write_text(
    '\n'.join(map(tables.latex, _of_kind(found, tables.Table)))
  )
  for sampling, table in table2.summary(law.pooled(records)).items():
    name = str(sampling).replace(', ', '_').replace(' ', '')
    (out / f'table2_{name}.csv').write_text(tables.csv(table))
  for figure in _of_kind(found, page.Figure):
    (out / figure.name).write_bytes(figure.png)
  return text


def sections(records: list[dict]) -> list[page.Section]:
  """Returns the report's sections, tables and figures in them.

  The verifier alone and strict have one quality in all of them, see
  `law.pooled`.

  Raises:
    ValueError: as `write`.
  """
  if not records:
    raise ValueError('no records to report')
  records = law.pooled(records)
  groups = cells.by_cell(records)
  summary = [
    block
    for sampling, table in table2.summary(records).items()
    for block in (f'{str(sampling).capitalize()}:', table)
  ]
  found = [page.Section('Table 2', summary)] if summary else []
  prefixes = file_prefixes(groups)
  for cell, own in groups.items():
    where = prefixes[cell]
    heading = f'Task {cell.task}, pair {cell.pair}'
    body = details.sections(own)
    body += [_figure(where + name, *_CURVES[name], own) for name in _CURVES]
    found.append(page.Section(heading, body))
  if calibration.select(records):
    found.append(_calibration(records))
  chosen = advice.best(records)
  if chosen.rows:
    body = [chosen, advice.by_rule(records)]
    found.append(page.Section('Which rule, threshold and draft length', body))
  return found


def file_prefixes(all_cells: Iterable[cells.Cell]) -> dict[cells.Cell, str]:
  """Returns how the file names of each pair and task begin.

  A pair may be a folder's path: its last component is the name, so that files
  stay in the report's folder. Distinct; empty for a cell that is alone.
  """
  all_cells = list(all_cells)
  if len(all_cells) == 1:
    return {all_cells[0]: ''}
  prefixes = {}
  for cell in all_cells:
    names = [pathlib.PurePath(name).name for name in cell]
    # Markdown, for one, ends a link at a space.
    name = '_'.join(re.sub(r'[^\w.-]', '-', name) for name in names)
    prefix, i = f'{name}_', 1
    while prefix in prefixes.values():
      i += 1
      prefix = f'{name}_{i}_'
    prefixes[cell] = prefix
  return prefixes


def _calibration(records):
  caption = (
    'Rejections expected from D_TV(π, q) and latency predicted from counts and '
    'costs, against what was measured.'
  )
  figure = _figure('calibration', calibration.draw, caption, records)
  body = [calibration.answer(records), figure]
  body += [calibration.accuracy(records), calibration.rank(records)]
  return page.Section('Does theory tell what was measured?', body)


def _figure(name, draw, caption, records):
  png = io.BytesIO()
  draw(records).savefig(png, format='png', dpi=150)
  return page.Figure(f'{name}.png', png.getvalue(), caption, caption)


def _of_kind(found, kind):
  return [x for section in found for x in section.body if isinstance(x, kind)]


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
