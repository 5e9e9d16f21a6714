"""Records of benchmarks: from a file by path, or a Hugging Face dataset.

Formats: JSON lines, a JSON list, CSV and Parquet. Records are mappings, as the
file has them; the tasks know their fields.
"""

import csv
import dataclasses
import functools
import importlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from speccascade.storage import json_text
from speccascade.tasks import files

Row = tuple[str, Mapping[str, Any]]  # Words that say where it is, and itself.

_EXTRA = "pip install 'speccascade[datasets]'"
_ENDINGS = ('.jsonl', '.json', '.csv', '.parquet')


@dataclasses.dataclass(frozen=True)
class Data:
  """Where the records of a task are.

  Attributes:
    path: a file, or a folder of `{split}.jsonl`, or another of _ENDINGS.
    dataset: a Hugging Face name, if path is ''.
    subset: of the dataset; '' is its default.
  """

  path: str = ''
  dataset: str = ''
  subset: str = ''

  def __post_init__(self):
    if not self.path and not self.dataset:
      raise ValueError(
        "task_args: path='...' must name the file of the examples, or "
        "dataset='...' a Hugging Face dataset"
      )


def read(data: Data, split: str, first: int | None = None) -> list[Row]:
  """Returns the records of a split.

  Args:
    data: where they are.
    split: its name.
    first: how many, as of a training split of millions; None is all.

  Raises:
    ValueError: there are none, or they cannot be read.
  """
  if data.path:
    return _read(_file(epath.Path(data.path), split), first)
  where = ' '.join(filter(None, (data.dataset, data.subset, split)))
  return _numbered(where, _dataset(data.dataset, data.subset, split, first))


def field(where: str, row: Mapping, name: str, kind: type = str) -> Any:
  """Returns a field of a record, texts with plain line ends.

  Args:
    where: words that say where the record is.
    row: the record.
    name: of the field; 'a.b' is field b of a.
    kind: its type.

  Raises:
    ValueError: it lacks the field, or has one of another type.
  """
  value = row
  for part in name.split('.'):
    if not isinstance(value, Mapping) or part not in value:
      known = ', '.join(map(str, row)) if isinstance(row, Mapping) else 'none'
      raise ValueError(
        f'{where} must have the key {name!r}; it has {known:.80}'
      )
    value = value[part]
  if kind is list and not isinstance(value, str | Mapping):
    try:
      value = list(value)  # Parquet and datasets give arrays.
    except TypeError:
      pass
  if not isinstance(value, kind):
    raise ValueError(
      f'{where}: {name!r} must be {kind.__name__}, got {type(value).__name__}'
    )
  return files.clean(value, f'{where}: {name!r}') if kind is str else value


def text(where: str, row: Mapping, name: str) -> str:
  """Returns a field that is a text with words; raises ValueError as `field`."""
  value = field(where, row, name)
  if not value.strip():
    raise ValueError(
      f'{where}: {name!r} must be a text that is not blank, got a blank one'
    )
  return value


def texts(where: str, row: Mapping, name: str) -> tuple[str, ...]:
  """Returns a field that is a list of texts; raises ValueError as `field`."""
  value = field(where, row, name, list)
  if not all(isinstance(x, str) for x in value):
    raise ValueError(f'{where}: {name!r} must be a list of texts')
  return tuple(files.clean(x, f'{where}: {name!r}') for x in value)


def forget() -> None:
  """Forgets what was read."""
  _read.cache_clear()
  _dataset.cache_clear()


def _file(path, split):
  if not path.is_dir():
    return path
  for ending in _ENDINGS:
    if (path / f'{split}{ending}').exists():
      return path / f'{split}{ending}'
  names = ', '.join(f'{split}{ending}' for ending in _ENDINGS)
  raise ValueError(f'{path} has none of {names}; path names the file or folder')


@functools.cache
def _read(file, first):
  if file.suffix == '.parquet':
    return _numbered(str(file), _parquet(file, first))
  if file.suffix == '.csv':
    return _numbered(str(file), _csv(file, first))
  # A '.json' may be one value, or lines.
  lines = files.lines(file)
  if file.suffix == '.json':
    lines = list(lines)
    try:
      found = json_text.loads('\n'.join(line for _, line in lines))
    except json.JSONDecodeError as error:
      if len(lines) == 1:
        raise ValueError(f'{file} is not valid JSON: {error}') from None
    else:
      found = found if isinstance(found, list) else [found]
      return _numbered(str(file), found[:first])
  lines = itertools.islice(lines, first)
  return _objects((where, _parse(where, line)) for where, line in lines)


def _numbered(where, found):
  """Records with words that say where each is."""
  return _objects(
    (f'{where}, record {n}', row) for n, row in enumerate(found, 1)
  )


def _objects(found):
  found = list(found)
  for where, row in found:
    if not isinstance(row, Mapping):
      raise ValueError(f'{where} must be an object, got {type(row).__name__}')
  return found


def _parse(where, line):
  try:
    return json_text.loads(line)
  except json.JSONDecodeError as error:
    reason = f'{error.msg} at character {error.pos + 1}'
  except ValueError as error:
    reason = error
  raise ValueError(f'{where} is not valid JSON: {reason}')


def _csv(file, first):
  lines = (f'{line}\n' for _, line in files.lines(file))
  try:
    return list(itertools.islice(csv.DictReader(lines, strict=True), first))
  except csv.Error as error:
    raise ValueError(f'{file} is not valid CSV: {error}') from None


def _parquet(file, first):
  if not file.exists():
    raise ValueError(f'there is no file {file}; path names it, or its folder')
  parquet = _optional('pyarrow.parquet', str(file))
  try:
    with file.open('rb') as opened:
      return parquet.read_table(opened).slice(0, first).to_pylist()
  except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError.
    raise ValueError(
      f'{file} is not a whole Parquet file: {str(error).splitlines()[0]}'
    ) from None


@functools.cache
def _dataset(name, subset, split, first):
  datasets = _optional('datasets', f'dataset {name!r}')
  try:
    found = datasets.load_dataset(
      name, subset or None, split=split, streaming=first is not None
    )
    return list(itertools.islice(found, first))
  except Exception as error:  # Of many kinds, of several libraries.
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    raise ValueError(
      f'dataset={name!r}, subset={subset!r}, split {split!r}: {reason}; give '
      'the path of its file where there is no network'
    ) from None


def _optional(module, what):
  try:
    return importlib.import_module(module)
  except ImportError:
    raise ValueError(
      f'{what} is read with {module.partition(".")[0]}: {_EXTRA}'
    ) from None
