"""Types of the fields of JSON objects, and whether values are of them.

A type is a class, `Items` of a type, a tuple of types (any of them), or a dict
{field: type}: an object with these fields, and perhaps others.
"""

import dataclasses
import itertools
from typing import Any


@dataclasses.dataclass(frozen=True)
class Items:
  """A list, or a dict under any names, of one type of items.

  Items may be lists of items themselves, but not dicts.
  """

  container: type
  item: Any


NUMBER = (int, float)
NULL = type(None)
NUMBERS = Items(list, NUMBER)

_END = 2**63  # Of what arrays hold; no field comes near.


def check(values: dict, fields: dict, name: str, prefix: str = '') -> None:
  """Raises ValueError unless `values` has all fields, each of its type.

  Args:
    values: an object.
    fields: {field: type}.
    name: of the object; begins the message.
    prefix: of the names of the fields.
  """
  if missing := sorted(fields.keys() - values.keys()):
    raise ValueError(f'{name} lacks {prefix}{f", {prefix}".join(missing)}')
  for field, types in fields.items():
    value = values[field]
    if not _is(value, types):
      raise ValueError(
        f'{name}: {prefix}{field} must be {_name(types)}, got {value!r:.80} '
        f'({type(value).__name__})'
      )
    if isinstance(types, dict):
      check(value, types, name, f'{prefix}{field}.')


def _is(value, types):
  """Whether a value is of one of the types; a bool is no number, nor is NaN."""
  if isinstance(types, tuple):
    return any(_is(value, kind) for kind in types)
  if isinstance(types, dict):
    return isinstance(value, dict)
  if isinstance(types, Items):
    return isinstance(value, types.container) and _are(value, types.item)
  if not isinstance(value, types) or (type(value) is bool) != (types is bool):
    return False
  return types not in NUMBER or -_END < value < _END


def _are(container, types):
  """Whether all items of a list or dict are of one of the types."""
  items = container
  if isinstance(container, dict):
    if not all(isinstance(key, str) for key in container):
      return False
    items = container.values()
  if isinstance(types, Items):  # Of lists: checked as one, they may be short.
    if not all(isinstance(item, types.container) for item in items):
      return False
    return _are(list(itertools.chain.from_iterable(items)), types.item)
  kinds = {type(item): item for item in items}.values()  # One of each type.
  if not all(_is(item, types) for item in kinds):
    return False
  return all(-_END < x < _END for x in items if isinstance(x, NUMBER))


def _name(types):
  """The types in words."""
  if types == NUMBER:
    return 'number'
  if isinstance(types, tuple):
    named = [types[:2], *types[2:]] if types[:2] == NUMBER else types
    return ' or '.join(map(_name, named))
  if isinstance(types, dict):
    return 'dict'
  if isinstance(types, Items):
    return f'{types.container.__name__} of {_name(types.item)}'
  return 'null' if types is NULL else types.__name__
