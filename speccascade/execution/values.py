"""Plain values as JSON, between a program that is not trusted and its judge.

What is no plain value of Python's is told by a handle, which its owner keeps.
This module needs the standard library alone: it runs outside the package.
"""

import collections
import datetime
import decimal
import fractions

_LISTS = {
  'list': list,
  'tuple': tuple,
  'set': set,
  'frozenset': frozenset,
  'deque': collections.deque,
}
# {name: (type, its text, the value of a text)}, a type after its subtypes.
_TEXTS = {
  'str': (str, str.__str__, str),
  'int': (int, int.__repr__, int),
  'float': (float, float.hex, float.fromhex),
  'bytes': (bytes, bytes.hex, bytes.fromhex),
  'bytearray': (bytearray, bytearray.hex, bytearray.fromhex),
  'complex': (complex, complex.__repr__, complex),
  'decimal': (decimal.Decimal, str, decimal.Decimal),
  'fraction': (
    fractions.Fraction,
    lambda x: f'{x.numerator}/{x.denominator}',
    # Not of any text: '1e999999999' would take forever.
    lambda text: fractions.Fraction(*map(int, text.split('/'))),
  ),
  'datetime': (
    datetime.datetime,
    datetime.datetime.isoformat,
    datetime.datetime.fromisoformat,
  ),
  'date': (
    datetime.date,
    datetime.date.isoformat,
    datetime.date.fromisoformat,
  ),
}
_TYPES = {
  x.__name__: x
  for x in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
}


def encode(value, keep):
  """Returns what JSON can hold of a value.

  Args:
    value: of any type. Of a subclass of a plain type, the plain value is told.
    keep: returns the number of a handle for what is not plain.
  """
  if value is None or value is True or value is False:
    return value
  for name, kind in _LISTS.items():
    if isinstance(value, kind):
      return [name, [encode(x, keep) for x in value]]
  for name, (kind, tell, _) in _TEXTS.items():
    if isinstance(value, kind):
      return [name, tell(value)]
  if isinstance(value, range):
    return ['range', [value.start, value.stop, value.step]]
  if isinstance(value, dict):
    both = [[encode(k, keep), encode(x, keep)] for k, x in value.items()]
    return ['dict', both]
  if isinstance(value, type) and _TYPES.get(value.__name__) is value:
    return ['type', value.__name__]
  return ['handle', keep(value)]


def decode(told, find):
  """Returns the value that `encode` told.

  Args:
    told: what JSON held.
    find: returns what a handle's number stands for.

  Raises:
    ValueError: it is nothing that `encode` tells.
  """
  if told is None or isinstance(told, bool):
    return told
  try:
    kind, content = told
    return _decode(kind, content, find)
  except (TypeError, KeyError, ArithmeticError) as error:
    raise ValueError(f'no value: {error}') from None


def _decode(kind, content, find):
  if kind in _TEXTS:
    return _TEXTS[kind][2](content)
  if kind == 'range':
    return range(*content)
  if kind == 'dict':
    return {decode(k, find): decode(x, find) for k, x in content}
  if kind == 'type':
    return _TYPES[content]
  if kind == 'handle':
    return find(content)
  return _LISTS[kind](decode(x, find) for x in content)
