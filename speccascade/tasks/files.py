"""Files of benchmarks, which hold one example a line."""

import functools
import json
from collections.abc import Iterator, Sequence

from etils import epath


def lines(file: epath.Path) -> Iterator[tuple[str, bytes]]:
  """Yields the lines of a file, each after the words that say where it is.

  Only a newline ends a line: other line ends, as U+2028, belong to texts.

  Raises:
    ValueError: if there is no such file.
  """
  if not file.exists():
    raise ValueError(f'there is no file {file}; path names the folder it is in')
  content = file.read_bytes().removesuffix(b'\n')
  for number, line in enumerate(content.split(b'\n'), 1):
    yield f'{file}, line {number}', line


@functools.cache
def jsonl(
  file: epath.Path, keys: tuple[str, ...]
) -> list[tuple[str, tuple[str, ...]]]:
  """Reads texts from a file of JSON objects, one a line.

  Args:
    file: the file.
    keys: the keys of the texts; others are ignored.

  Returns:
    For each line, the words that say where it is, and its texts by `keys`.

  Raises:
    ValueError: if the file is missing, or a line lacks one of the texts.
  """
  rows = []
  names = ' and '.join(map(repr, keys))
  for where, line in lines(file):
    try:
      row = json.loads(line)
    except ValueError as error:
      raise ValueError(f'{where} is not valid JSON: {error}') from None
    if not isinstance(row, dict) or not set(keys) <= row.keys():
      raise ValueError(f'{where} must have the keys {names}')
    texts = tuple(row[key] for key in keys)
    if not all(isinstance(text, str) and text.strip() for text in texts):
      raise ValueError(f'{where}: {names} must be non-empty strings')
    rows.append((where, texts))
  return rows


def item(rows: Sequence, index: int, file: epath.Path):
  """Returns a row of a file; raises ValueError if it has no such row."""
  if not 0 <= index < len(rows):
    raise ValueError(
      f'{file} has {len(rows)} examples; there is no example {index}'
    )
  return rows[index]
