"""Reads the records of a report from files and folders."""

import collections
import itertools
from collections.abc import Iterable

from etils import epath

from speccascade.reports.stats import cells
from speccascade.runs import records as records_lib

_NAME = 'records.jsonl'


def load(paths: Iterable[epath.PathLike]) -> list[dict]:
  """Returns the records of all paths.

  Args:
    paths: files of records, or folders. A folder stands for its records.jsonl
      or, where it has none, for those of its subfolders.

  Raises:
    ValueError: a file has no finished record, or one that is not valid; a
      record is in two files; those of a pair and task are of several devices.
  """
  records, files = [], {}
  devices = collections.defaultdict(dict)
  for path in itertools.chain(*map(_files, map(epath.Path, paths))):
    found = records_lib.read(path)
    if not found:
      raise ValueError(f'no finished record in {path}; run a sweep first')
    for record in found:
      cell = cells.cell(record)
      key = (*cell, record['id'])
      if key in files:
        raise ValueError(
          f'record {record["id"]!r} of pair {cell.pair}, task {cell.task} is '
          f'in {files[key]} and in {path}; give one of the two'
        )
      files[key] = path
      devices[cell].setdefault(record['device'], path)
    records += found
  for cell, of_devices in devices.items():
    if len(of_devices) > 1:
      where = ' and '.join(f'{d!r} in {path}' for d, path in of_devices.items())
      raise ValueError(
        f'latencies of pair {cell.pair}, task {cell.task} are from several '
        f'devices: {where}; report each device on its own'
      )
  return records


def _files(path):
  """The files of records that a path stands for."""
  if not path.is_dir():
    return [path]
  if (path / _NAME).exists():
    return [path / _NAME]
  found = [folder / _NAME for folder in path.iterdir()]
  return sorted(f for f in found if f.exists()) or [path / _NAME]
