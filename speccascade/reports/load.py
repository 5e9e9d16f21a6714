"""Reads the records of a report from files and folders."""

import itertools
from collections.abc import Iterable

from etils import epath

from speccascade.reports.stats import cells, consistency, points
from speccascade.runs import records as records_lib

_NAME = 'records.jsonl'
_PLAN = ('gamma', 'schedule', 'schedule_parameter', 'seed')
_ALIKE = ('device', 'dtype', 'seed', 'metric', 'num_examples')  # In a cell.


def load(paths: Iterable[epath.PathLike]) -> list[dict]:
  """Returns the records of all paths.

  Args:
    paths: files of records, or folders. A folder stands for its records.jsonl
      or, where it has none, for those of its subfolders.

  Raises:
    ValueError: a file has no finished record, or one that is not valid or
      contradicts itself; a record is in two files, or two are of one point;
      those of a pair and task do not compare. The message names the file.
  """
  files = itertools.chain(*map(_files, map(epath.Path, paths)))
  found = [(record, path) for path in files for record in _read(path)]
  _check_distinct(found)
  _check_alike(found)
  return [record for record, _ in found]


def _files(path):
  """The files of records that a path stands for."""
  if not path.is_dir():
    return [path]
  if (path / _NAME).exists():
    return [path / _NAME]
  found = [folder / _NAME for folder in path.iterdir()]
  return sorted(f for f in found if f.exists()) or [path / _NAME]


def _read(path):
  records = records_lib.read(path)
  if not records:
    raise ValueError(f'no finished record in {path}; run a sweep first')
  for record in records:
    try:
      consistency.check(record)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from None
  return records


def _check_distinct(found):
  files, ids = {}, {}
  for record, path in found:
    cell, own = cells.cell(record), record['id']
    if (cell, own) in files:
      raise ValueError(
        f'record {own!r} of {_name(cell)} is in {files[cell, own]} and in '
        f'{path}; give one of the two'
      )
    files[cell, own] = path
    point = cell, points.text(record), tuple(record[k] for k in _PLAN)
    other = ids.setdefault(point, own)
    if other != own:
      raise ValueError(
        f'records {other!r} in {files[cell, other]} and {own!r} in {path}, of '
        f'{_name(cell)}, are one point; delete one of them'
      )


def _check_alike(found):
  first = {}
  for record, path in found:
    cell = cells.cell(record)
    other, where = first.setdefault(cell, (record, path))
    for field in _ALIKE:
      if record[field] != other[field]:
        raise ValueError(
          f'records of {_name(cell)} do not compare: {field} of '
          f'{other["id"]!r} in {where} is {other[field]!r}, of '
          f'{record["id"]!r} in {path} it is {record[field]!r}; report each on '
          'its own'
        )


def _name(cell):
  return f'pair {cell.pair!r}, task {cell.task!r}'
