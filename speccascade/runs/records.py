"""Records of a run: a JSONL file with one object per measured point.

A line is complete once its newline is on disk. A process killed during a write
leaves a torn last line, which `read` skips and `append` removes, so a resumed
run never joins two records.

`FIELDS` documents the fields of a record.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

from etils import epath


@dataclasses.dataclass(frozen=True)
class _Items:
  """A list, or a dict under any names, of one type of items."""

  container: type
  item: Any


_NUMBER = (int, float)
_NULL = type(None)
_NUMBERS = _Items(list, _NUMBER)

TRAITS = {
  'drafts': bool,  # a draft plan applies
  'plan_changes_text': bool,  # the plan can change the generated tokens
  'divergence_rejects': bool,  # rejections have probability D_TV(pi, q)
  'lossless': bool,  # it samples the verifier's distribution
}

COUNTS = {
  'tokens': int,
  'verifier_calls': int,
  'drafter_steps': int,
  'drafted': int,
  'accepted': int,
  'rejected': int,
  'deferred': int,
  'divergence': _NUMBER,  # sum of D_TV(pi, q): the expected rejections
  'accepted_lengths': _Items(list, int),  # blocks with 0, 1, ..., gamma + 1
}

# A field's types; a dict stands for a dict with exactly these fields.
FIELDS = {
  'id': str,
  'task': str,
  'pair': str,
  'method': str,
  'parameters': _Items(dict, _NUMBER),  # of the method; {} if it has none
  'traits': TRAITS,
  'gamma': (int, _NULL),  # draft length; null where no draft plan applies
  'schedule': (str, _NULL),  # 'fixed', or the one that shortens drafts
  'schedule_parameter': (*_NUMBER, _NULL),
  'temperature': _NUMBER,
  'top_p': _NUMBER,
  'top_k': int,
  'seed': int,
  'num_examples': int,  # of quality, output_length and counts
  'metric': str,
  'quality': _NUMBER,  # the metric over all examples; higher is better
  'quality_stderr': _NUMBER,  # bootstrap over the examples
  'example_statistics': _Items(list, _NUMBERS),  # what `metrics.quality` sums
  'example_tokens': _Items(list, int),  # generated, EOS included
  'example_rejected': _Items(list, int),  # of them; 0 for a model alone
  'output_length': _NUMBER,  # mean tokens per example, EOS included
  'latency_examples': int,  # prompts timed in each trial, at batch 1
  'seconds': _NUMBERS,  # per trial, over all timed examples
  'example_seconds': _NUMBERS,  # per timed example, mean of the trials
  'predicted_seconds': (*_NUMBER, _NULL),  # of all timed examples, from counts
  'verifier_seconds': _NUMBERS,  # the verifier alone: same prompts and trials
  'strict_seconds': (_NUMBERS, _NULL),  # strict under the same draft plan
  'relative_latency': _NUMBERS,  # seconds / verifier_seconds, per trial
  'counts': COUNTS,  # sums over num_examples
  'block_efficiency': _NUMBER,  # tokens / verifier calls
  'rejection_rate': _NUMBER,  # rejected / tokens
  'device': str,
  'dtype': str,
  'versions': _Items(dict, (str, _NULL)),
  'git_revision': (str, _NULL),  # null outside a checkout
}


def append(path: epath.PathLike, record: dict) -> None:
  """Appends one record durably: one write of a whole line, synced to disk.

  Args:
    path: JSONL file, created if missing. A file on gs:// is rewritten whole,
      as objects there cannot grow.
    record: a value for each of `FIELDS`.

  Raises:
    ValueError: a field is missing, unknown, of the wrong type or not finite,
      or the file already has a record with this id.
  """
  check(record)
  if any(record['id'] == other['id'] for other in read(path)):
    raise ValueError(f'{path} already has a record {record["id"]!r}')
  append_lines(path, [record])


def append_lines(path: epath.PathLike, objects: list[dict]) -> None:
  """Appends JSON lines durably, after removing a torn last line.

  Raises:
    ValueError: an object is not JSON or contains NaN or infinity; nothing was
      written.
  """
  lines = ''.join(_line(path, x) for x in objects)
  repair(path)
  path = epath.Path(path)
  if not _is_local(path):
    path.write_text((path.read_text() if path.exists() else '') + lines)
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, 'ab') as f:
    f.write(lines.encode())
    f.flush()
    os.fsync(f.fileno())


def _line(path: epath.PathLike, line: dict) -> str:
  try:
    return json.dumps(line, allow_nan=False) + '\n'
  except (TypeError, ValueError) as error:
    name = f'record {line["id"]!r}' if 'id' in line else 'line'
    raise ValueError(f'cannot write {name} to {path}: {error}') from error


def read(path: epath.PathLike) -> list[dict]:
  """Returns the complete records in order; none if the file is missing.

  Raises:
    ValueError: a complete line is not JSON, is no valid record or repeats an
      id; the message names the file and the line.
  """
  records = {}

  def parse(line):
    record = json.loads(line)
    check(record)
    if record['id'] in records:
      raise ValueError(f'a second record {record["id"]!r}')
    records[record['id']] = record

  read_lines(path, parse)
  return list(records.values())


def read_lines(
  path: epath.PathLike, parse: Callable[[bytes], Any] = json.loads
) -> list[Any]:
  """Returns the parsed complete lines; none if the file is missing.

  Raises:
    ValueError: `parse` raised ValueError, KeyError or TypeError; the message
      names the file and the line.
  """
  path = epath.Path(path)
  if not path.exists():
    return []
  parsed = []
  # What follows the last newline is torn.
  lines = path.read_bytes().split(b'\n')[:-1]
  for number, line in enumerate(lines, start=1):
    try:
      parsed.append(parse(line))
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(
        f'{path}:{number}: {error}; correct or delete this line'
      ) from error
  return parsed


def repair(path: epath.PathLike) -> None:
  """Removes a torn last line; complete lines stay."""
  path = epath.Path(path)
  if not path.exists():
    return
  content = path.read_bytes()
  whole = content.rfind(b'\n') + 1
  if whole == len(content):
    return
  if not _is_local(path):
    path.write_bytes(content[:whole])
    return
  with open(path, 'r+b') as f:
    f.truncate(whole)
    os.fsync(f.fileno())


def check(record: dict) -> None:
  """Validates a record: exactly `FIELDS`, each of its type.

  Raises:
    ValueError: one line that names the record and the field.
  """
  if not isinstance(record, dict):
    raise ValueError(f'a record must be an object, got {record!r:.40}')
  _check_fields(record, FIELDS, f'record {record.get("id")!r}', '')


def _check_fields(values, fields, name, prefix):
  if missing := sorted(fields.keys() - values.keys()):
    raise ValueError(f'{name} lacks {prefix}{f", {prefix}".join(missing)}')
  if unknown := sorted(values.keys() - fields.keys()):
    raise ValueError(
      f'{name} has unknown fields: {prefix}{f", {prefix}".join(unknown)}'
    )
  for field, types in fields.items():
    value = values[field]
    if not _is(value, types):
      raise ValueError(
        f'{name}: {prefix}{field} must be {_name(types)}, got {value!r:.80} '
        f'({type(value).__name__})'
      )
    if isinstance(types, dict):
      _check_fields(value, types, name, f'{prefix}{field}.')


def _is(value, types):
  """Whether a value is of one of the types; a bool is no number."""
  if isinstance(types, tuple):
    return any(_is(value, kind) for kind in types)
  if isinstance(types, dict):
    return isinstance(value, dict)
  if isinstance(types, _Items):
    return isinstance(value, types.container) and _are(value, types.item)
  return isinstance(value, types) and (types is bool or type(value) is not bool)


def _are(container, types):
  """Whether all items of a list or dict are of one of the types."""
  items = container
  if isinstance(container, dict):
    if not all(isinstance(key, str) for key in container):
      return False
    items = container.values()
  if not isinstance(types, _Items):
    items = {type(item): item for item in items}.values()  # One of each type.
  return all(_is(item, types) for item in items)


def _name(types):
  """The types in words."""
  if isinstance(types, tuple):
    return ' or '.join(map(_name, types))
  if isinstance(types, dict):
    return 'dict'
  if isinstance(types, _Items):
    return f'{types.container.__name__} of {_name(types.item)}'
  return 'null' if types is _NULL else types.__name__


def _is_local(path: epath.Path) -> bool:
  return '://' not in os.fspath(path)
