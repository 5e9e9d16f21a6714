"""One schema for every config: fields, types, ranges and their relations.

A config file returns a ConfigDict, whose fields are flags; `template` makes
one of a schema's defaults. An entry point parses it once, into a frozen
`Schema`; nothing behind the entry point sees a ConfigDict.
"""

import functools
import json
import math
import operator
import re
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

import ml_collections
import numpy as np
import pydantic
import pydantic_core
from ml_collections import config_dict

from speccascade import tasks


def float32(**bounds: float) -> Any:
  """Returns the type of a number that float32, which computes it, can tell.

  Zero is the only value that is 0 in float32, none is infinite there, and all
  are on their side of the bounds, so that 0.9999999999 is not below 1.

  Args:
    **bounds: any of gt, ge, lt and le, themselves of float32.
  """
  check = functools.partial(_check_float32, bounds)
  return Annotated[
    float, pydantic.Field(**bounds), pydantic.AfterValidator(check)
  ]


def _check_float32(bounds, value):
  with np.errstate(over='ignore'):
    rounded = float(np.float32(value))
  if abs(rounded) < np.finfo(np.float32).tiny:
    rounded = 0.0  # Devices flush what is smaller.
  within = (getattr(operator, name)(rounded, x) for name, x in bounds.items())
  zero = rounded == 0 and value != 0
  if zero or not math.isfinite(rounded) or not all(within):
    raise fault(
      'it must be a number that float32, which computes with it, can tell '
      f'from {rounded:g}'
    )
  return value + 0.0  # Not -0.0, which would be another id.


def number(value: Any) -> float:
  """Returns a number as float32 can tell it, or raises `fault`."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise fault('it must be a number')
  try:
    return _check_float32({}, float(value))
  except OverflowError:
    raise fault('it must be a number of float32') from None


def fault(message: str) -> pydantic_core.PydanticCustomError:
  """Returns an error to raise from a validator; `parse` names the field.

  Args:
    message: what is wrong with the value, as 'it must be ...'.
  """
  return pydantic_core.PydanticCustomError('fault', '{it}', {'it': message})


# Work, and what lists and arrays hold, is proportional to these numbers, so a
# slip of the hand would hang; what is larger than these bounds is a slip.
Examples = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
Corpus = Annotated[int, pydantic.Field(ge=1, le=10_000_000)]
Rows = Annotated[int, pydantic.Field(ge=1, le=2**16)]
Tokens = Annotated[int, pydantic.Field(ge=1, le=2**17)]
Gamma = Annotated[int, pydantic.Field(ge=0, le=1_024)]
Trials = Annotated[int, pydantic.Field(ge=1, le=1_000)]
Mesh = tuple[Rows, Rows]  # As of `sharding.make_mesh`.
# What is counted in int32.
Count = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
Steps = Annotated[int, pydantic.Field(ge=1, lt=2**31)]

Float = float32()
Probability = float32(ge=0, le=1)
Temperature = float32(ge=0)
Dtype = Literal['float32', 'bfloat16']  # Of the models; draws are float32.
Weights = Literal['int8'] | None  # Of a model; None is as its dtype.
Task = Annotated[str, pydantic.AfterValidator(tasks.check)]


def _check_name(value):
  if not re.fullmatch(r'[\w-][\w.-]{0,99}', value, re.ASCII):
    raise fault(
      'it must be a name for a file: up to 100 of A-Z, a-z, 0-9, _, - and, '
      'not at first, .'
    )
  return value


Name = Annotated[str, pydantic.AfterValidator(_check_name)]


def _check_argument(value):
  if isinstance(value, str | bool):
    return value
  if isinstance(value, int) and abs(value) < 2**63:
    return value
  if isinstance(value, float) and math.isfinite(value):
    return value
  raise fault('it must be a text, a truth value or a finite number')


TaskArgs = dict[str, Annotated[Any, pydantic.AfterValidator(_check_argument)]]


class Schema(pydantic.BaseModel):
  """Base of every schema: frozen (its dicts are not), strict, without NaN.

  A subclass annotates its fields; `pydantic.Field` bounds them and validators
  relate them. A validator raises `fault`, or ValueError with a line that names
  the field.
  """

  model_config = pydantic.ConfigDict(
    frozen=True,
    strict=True,
    extra='forbid',
    allow_inf_nan=False,
    protected_namespaces=(),
    validate_default=True,
  )

  def to_dict(self) -> dict[str, Any]:
    """Returns the fields as JSON has them: lists for tuples."""
    return json.loads(self.model_dump_json())


Kind = TypeVar('Kind', bound=Schema)


def template(kind: type[Schema], **values: Any) -> ml_collections.ConfigDict:
  """Returns a config of a schema's fields, for a config file to return.

  Args:
    kind: the schema.
    **values: of its fields; the others have their defaults. A field without
      either is left out.
  """
  fields = {}
  for name, field in kind.model_fields.items():
    if name in values:
      fields[name] = values[name]
    elif not field.is_required():
      fields[name] = field.get_default(call_default_factory=True)
    if name in fields and fields[name] is None:
      fields[name] = config_dict.placeholder(_type(field.annotation))
  return ml_collections.ConfigDict(fields)


def _type(annotation):
  """The type of a field that may be None, which its flag is parsed as."""
  for option in typing.get_args(annotation):
    kind = getattr(option, '__origin__', option)  # Of Annotated and Literal.
    if kind in (int, float, str, Literal):
      return str if kind is Literal else kind
  return object


def parse(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
  """Validates a config.

  Args:
    kind: the schema.
    values: a ConfigDict or dict of its fields.

  Raises:
    ValueError: one line that names the first wrong field, its value and what
      it must be.
  """
  try:
    return kind.model_validate(plain(values))
  except pydantic.ValidationError as error:
    raise ValueError(_line(kind, error)) from None


def plain(values: Any) -> Any:
  """Returns a config, at any depth, as dicts of Python's own values.

  Raises:
    ValueError: a field cannot be read, or has what is no text.
  """
  try:
    found = _plain(values)
  except Exception as error:  # A lazy field raises what its function raises.
    reason = f'{type(error).__name__}: {error}'
    raise ValueError(_short(f'cannot read the config: {reason}')) from None
  for path, text in _texts(found, ()):
    try:
      text.encode()
    except UnicodeEncodeError:
      raise ValueError(f'{_join(path)}={text!r}: it must be text') from None
    if '\0' in text:
      raise ValueError(f'{_join(path)}={text!r}: it must be without \\x00')
  return found


def _plain(value):
  if isinstance(value, ml_collections.ConfigDict | Mapping):
    return {key: _plain(x) for key, x in value.items()}
  if type(value) in (tuple, list):
    return type(value)(map(_plain, value))
  if isinstance(value, np.bool_ | np.integer | np.floating | np.str_):
    return value.item()
  return value


def _texts(value, path):
  """Every text of a plain config, with its path; keys among them."""
  if isinstance(value, str):
    yield path, value
  elif isinstance(value, dict):
    for key, x in value.items():
      yield from _texts(key, path)
      yield from _texts(x, (*path, key))
  elif isinstance(value, tuple | list):
    for i, x in enumerate(value):
      yield from _texts(x, (*path, i))


def check_distinct(name: str, values: Collection) -> None:
  """Raises ValueError if two numbers, or tuples, agree in six digits.

  Float32 has hardly more, so that such points would be one.

  Args:
    name: of the field.
    values: of the field.
  """
  ids = {tuple(f'{x:g}' for x in np.atleast_1d(value)) for value in values}
  if len(ids) < len(values):
    raise ValueError(
      f'{name}={_shown(values)} must be distinct, in their first six digits'
    )


def _line(kind, error):
  """The first fault of a config, in a line."""
  faults = error.errors(include_url=False)
  missing = [_join(f['loc']) for f in faults if f['type'] == 'missing']
  if missing:
    return (
      f'the config has no {", ".join(missing)}; a {kind.__name__.lower()} '
      'config must set it'
    )
  first = faults[0]
  field = _join(first['loc'])
  if first['type'] in ('extra_forbidden', 'invalid_key'):
    known = ', '.join(kind.model_fields)
    return _short(f'unknown config field {field[:80]}; known: {known}')
  if first['type'] == 'value_error':
    message = str(first['ctx']['error'])
    named = not first['loc'] or message.startswith(field)
    return _short(message if named else f'{field}: {message}')
  message = first['msg'].replace('Input should be', 'it must be')
  return _short(f'{field}={_shown(first["input"])}: {message}')


def _join(path):
  return '.'.join(map(str, path)) or 'config'


def _shown(value):
  try:
    text = repr(value)
  except Exception:  # Too many digits, too deep, or a repr that fails.
    text = f'<{type(value).__name__}>'
  return text if len(text) <= 60 else f'{text[:57]}...'


def _short(text):
  text = ' '.join(text.split())
  return one_line(text if len(text) <= 500 else f'{text[:497]}...')


def one_line(text: str) -> str:
  """Returns text without line ends, nor escapes that a terminal acts on."""
  text = ' '.join(text.split())
  return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
