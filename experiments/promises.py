r"""Prints how often the advice of a report keeps its promise on other examples.

python experiments/promises.py --records=/tmp/sweep/records.jsonl

Several files and folders are given as to report.py.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade.reports import load
from speccascade.reports.render import tables
from speccascade.runs import command_line
from speccascade.studies import promises

_RECORDS = flags.DEFINE_multi_string(
  'records',
  None,
  "records.jsonl of a sweep, or the sweep's folder.",
  required=True,
)
_SPLITS = flags.DEFINE_integer(
  'splits', 200, 'Random splits of the examples.', lower_bound=1
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the splits.', lower_bound=0)


def main() -> None:
  """Reads the records, then splits their examples."""
  records = load.load(_RECORDS.value)
  table = promises.table(records, _SPLITS.value, _SEED.value)
  print(tables.markdown(table))


if __name__ == '__main__':
  command_line.run(main, 'promises')
