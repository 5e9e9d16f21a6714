"""Writes the report of a run: its table, its points and its figures."""

import io

from etils import epath

from speccascade.reports import figures, points, table2


def write(records: list[dict], out: epath.PathLike) -> str:
  """Writes the report of records into a folder and returns its table.

  Args:
    records: what `records.read` returned.
    out: folder for table.md, points.csv, quality_latency.png and
      quality_rejection.png; made if there is none.

  Raises:
    ValueError: there are no records, or they do not compare.
  """
  table = table2.markdown(records)
  out = epath.Path(out)
  out.mkdir(parents=True, exist_ok=True)
  (out / 'table.md').write_text(table)
  (out / 'points.csv').write_text(points.to_csv(records))
  _save(figures.quality_latency(records), out / 'quality_latency.png')
  _save(figures.quality_rejection(records), out / 'quality_rejection.png')
  return table


def _save(fig, path):
  png = io.BytesIO()
  fig.savefig(png, format='png', dpi=150)
  path.write_bytes(png.getvalue())
