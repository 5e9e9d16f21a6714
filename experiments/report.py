r"""Prints the report of sweeps and writes it: Markdown, HTML, LaTeX, CSV, PNG.

python experiments/report.py --records=/tmp/sweep/records.jsonl --out=/tmp/sweep

Several files, `--records=A --records=B`, make one report of all their pairs
and tasks.
"""

from absl import app, flags
from etils import epath

from speccascade import records as records_lib
from speccascade.reports import report

_RECORDS = flags.DEFINE_multi_string(
  'records', None, 'records.jsonl of a sweep.', required=True
)
_OUT = flags.DEFINE_string(
  'out', None, "Folder of the report; by default the records' own."
)


def main(argv: list[str]) -> None:
  """Reads the records, then prints and writes their report."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {" ".join(argv[1:])}')
  paths = [epath.Path(path) for path in _RECORDS.value]
  out = epath.Path(_OUT.value or paths[0].parent)
  try:
    records = []
    for path in paths:
      found = records_lib.read(path)
      if not found:
        raise ValueError(f'no finished record in {path}; run a sweep first')
      records += found
    print(report.write(records, out))
  except ValueError as error:
    raise SystemExit(f'report: {error}') from error
  print(f'Written to {out}: report.html, and its tables and figures.')


if __name__ == '__main__':
  app.run(main)
