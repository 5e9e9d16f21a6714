"""One schema for every config: fields, types, ranges and their relations.

A config file returns a ConfigDict, whose fields are flags; `template` makes
one of a schema's defaults. An entry point parses it once, into a frozen
`Schema`; nothing behind the entry point sees a ConfigDict.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

import ml_collections
import pydantic
from ml_collections import config_dict

from speccascade import tasks

NonNegative = Annotated[int, pydantic.Field(ge=0)]
Positive = Annotated[int, pydantic.Field(ge=1)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
Temperature = Annotated[float, pydantic.Field(ge=0)]
Dtype = Literal['float32', 'bfloat16']  # Of the models; draws are float32.
Task = Annotated[str, pydantic.AfterValidator(tasks.check)]


class Schema(pydantic.BaseModel):
  """Base of every schema: frozen (its dicts are not), strict, without NaN.

  A subclass annotates its fields; `pydantic.Field` bounds them and validators
  relate them. A validator raises ValueError with a line that names the field.
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
      types = [x for x in (int, float, str) if x in get_args(field.annotation)]
      fields[name] = config_dict.placeholder(types[0] if types else object)
  return ml_collections.ConfigDict(fields)


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
    return kind.model_validate(_plain(values))
  except pydantic.ValidationError as error:
    raise ValueError(_line(kind, error)) from None


def _plain(value):
  """A ConfigDict, at any depth, as a dict."""
  if isinstance(value, ml_collections.ConfigDict | Mapping):
    return {key: _plain(x) for key, x in value.items()}
  return value


def _line(kind, error):
  """The first fault of a config, in a line."""
  faults = error.errors(include_url=False)
  missing = [_field(f) for f in faults if f['type'] == 'missing']
  if missing:
    return (
      f'the config has no {", ".join(missing)}; a {kind.__name__.lower()} '
      'config must set it'
    )
  fault = faults[0]
  field = _field(fault)
  if fault['type'] == 'extra_forbidden':
    return (
      f'unknown config field {field}; known: {", ".join(kind.model_fields)}'
    )
  message = fault['msg']
  if fault['type'] == 'value_error':
    return ' '.join(str(fault['ctx']['error']).split())
  message = message.replace('Input should be', 'it must be')
  shown = f'{fault["input"]!r}'
  shown = shown if len(shown) <= 60 else f'{shown[:57]}...'
  return ' '.join(f'{field}={shown}: {message}'.split())


def _field(fault):
  return '.'.join(str(part) for part in fault['loc']) or 'config'
