"""Records by pair and task: only points of one cell compare."""

import collections
from typing import NamedTuple


class Cell(NamedTuple):
  """A pair of models and the task that they decoded."""

  pair: str
  task: str


def cell(record: dict) -> Cell:
  """Returns the pair and task of a record."""
  return Cell(record['pair'], record['task'])


def by_cell(records: list[dict]) -> dict[Cell, list[dict]]:
  """Groups records by pair and task, in the order in which they appear."""
  groups = collections.defaultdict(list)
  for record in records:
    groups[cell(record)].append(record)
  return dict(groups)
