r"""Prints the table of a sweep and writes it with its points and figures.

python experiments/report.py --records=/tmp/sweep/records.jsonl --out=/tmp/sweep
"""

from absl import app, flags
from etils import epath

from speccascade import records as records_lib
from speccascade.reports import report

_RECORDS = flags.DEFINE_string(
  'records', None, 'records.jsonl of a sweep.', required=True
)
_OUT = flags.DEFINE_string(
  'out', None, "Folder of the report; by default the records' own."
)


def main(argv: list[str]) -> None:
  """Reads the records, then prints and writes their report."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {" ".join(argv[1:])}')
  path = epath.Path(_RECORDS.value)
  out = epath.Path(_OUT.value or path.parent)
  try:
    records = records_lib.read(path)
    if not records:
      raise ValueError(f'no finished record in {path}; run a sweep first')
    print(report.write(records, out))
  except ValueError as error:
    raise SystemExit(f'report: {error}') from error
  print(f'Written to {out}: table.md, points.csv and the figures.')


if __name__ == '__main__':
  app.run(main)
