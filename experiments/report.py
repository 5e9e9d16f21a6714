r"""Prints the report of sweeps and writes it: Markdown, HTML, LaTeX, CSV, PNG.

python experiments/report.py --records=/tmp/sweep/records.jsonl --out=/tmp/sweep

Several files, `--records=A --records=B`, make one report of all their pairs
and tasks. A folder stands for its records.jsonl or, where it has none, for
those of its subfolders, as a sweep of several cells leaves them.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from etils import epath

from speccascade.reports import load, report
from speccascade.runs import command_line

_RECORDS = flags.DEFINE_multi_string(
  'records',
  None,
  "records.jsonl of a sweep, or the sweep's folder.",
  required=True,
)
_OUT = flags.DEFINE_string(
  'out', None, 'Folder of the report; by default that of the records.'
)


def main() -> None:
  """Reads the records, then prints and writes their report."""
  records = load.load(_RECORDS.value)
  first = epath.Path(_RECORDS.value[0])
  folder = first if first.is_dir() else first.parent
  out = epath.Path(_OUT.value or folder)
  print(report.write(records, out))
  print(f'Written to {out}: report.html, tables and figures.')


if __name__ == '__main__':
  command_line.run(main, 'report')
