r"""Prints the report of sweeps and writes it: Markdown, HTML, LaTeX, CSV, PNG.

python experiments/report.py --records=/tmp/sweep/records.jsonl --out=/tmp/sweep

Several files, `--records=A --records=B`, make one report of all their pairs
and tasks. A folder stands for its records.jsonl or, where it has none, for
those of its subfolders, as a sweep of several cells leaves them.
"""

import collections
import itertools

from absl import app, flags
from etils import epath

from speccascade import records as records_lib
from speccascade.reports import cells, report

_RECORDS = flags.DEFINE_multi_string(
  'records',
  None,
  "records.jsonl of a sweep, or the sweep's folder.",
  required=True,
)
_OUT = flags.DEFINE_string(
  'out', None, "Folder of the report; by default the records' own."
)
_NAME = 'records.jsonl'


def main(argv: list[str]) -> None:
  """Reads the records, then prints and writes their report."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {" ".join(argv[1:])}')
  given = [epath.Path(path) for path in _RECORDS.value]
  try:
    folder = given[0] if given[0].is_dir() else given[0].parent
    out = epath.Path(_OUT.value or folder)
    print(report.write(_read(given), out))
  except (ValueError, OSError) as error:
    raise SystemExit(f'report: {error}') from error
  print(f'Written to {out}: report.html, and its tables and figures.')


def _read(given):
  """All records; none may be there twice or of another device."""
  seen, devices = {}, collections.defaultdict(dict)
  records = []
  for path in itertools.chain(*map(_files, given)):
    found = records_lib.read(path)
    if not found:
      raise ValueError(f'no finished record in {path}; run a sweep first')
    for record in found:
      cell = cells.Cell(record['pair'], record['task'])
      key = (*cell, record['id'])
      if key in seen:
        raise ValueError(
          f'record {record["id"]!r} of pair {cell.pair}, task {cell.task} is '
          f'both in {seen[key]} and in {path}; give one of the two'
        )
      seen[key] = path
      devices[cell].setdefault(record['device'], path)
    records += found
  for cell, paths in devices.items():
    if len(paths) > 1:
      where = ' and '.join(f'{d!r} in {path}' for d, path in paths.items())
      raise ValueError(
        f'latencies of pair {cell.pair}, task {cell.task} are from several '
        f'devices: {where}; report each device on its own'
      )
  return records


def _files(path):
  """The records.jsonl that a path stands for."""
  if not path.is_dir():
    return [path]
  if (path / _NAME).exists():
    return [path / _NAME]
  found = [folder / _NAME for folder in path.iterdir()]
  return sorted(f for f in found if f.exists()) or [path / _NAME]


if __name__ == '__main__':
  app.run(main)
