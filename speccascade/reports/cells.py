"""Records by pair and task: only points of one cell compare."""

import collections
from typing import NamedTuple


class Cell(NamedTuple):
  """Which models decoded what."""

  pair: str
  task: str


def by_cell(records: list[dict]) -> dict[Cell, list[dict]]:
  """Groups records by pair and task, in the order in which they appear."""
  groups = collections.defaultdict(list)
  for record in records:
    groups[Cell(record['pair'], record['task'])].append(record)
  return dict(groups)
