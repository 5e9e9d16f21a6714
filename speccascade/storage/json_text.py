"""JSON as the standard has it: UTF-8, no key twice, no NaN, no half character.

`json.loads` guesses encodings, takes the last of two equal keys, reads NaN and
1e999, and ends in a RecursionError on a line of brackets. An object may end in
a checksum of what comes before it, see `seal`: a digit that a disk changed
would else be another number.
"""

import json
import math
import re
import zlib
from typing import Any

from etils import epath

_KEY = 'crc32'
_SEAL = re.compile(r', "crc32": "([0-9a-f]{8})"\}\s*')


def seal(text: str) -> str:
  """Returns a JSON object with a checksum of its text as the last field."""
  return f'{text[:-1]}, "{_KEY}": "{_checksum(text[:-1])}"}}'


def _checksum(text):
  return f'{zlib.crc32(text.encode()):08x}'


def loads(data: str | bytes) -> Any:
  """Parses JSON; an object that was sealed is held against its checksum.

  Raises:
    ValueError: it is no JSON, or not what was sealed; one line that says why.
  """
  try:
    text = data if isinstance(data, str) else data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(f'byte {error.start + 1} is not UTF-8') from None
  try:
    value = json.loads(
      text,
      object_pairs_hook=_object,
      parse_constant=_number,
      parse_float=_number,
    )
  except RecursionError:
    raise ValueError('its brackets are nested too deeply') from None
  if '\\u' in text:
    _refuse_half_characters(text, value)
  if isinstance(value, dict) and _KEY in value:
    end = text.rfind(f', "{_KEY}": ')
    told = _SEAL.fullmatch(text, max(end, 0))
    if not told or told[1] != _checksum(text[:end]):
      raise ValueError(f'it is not what was written: its {_KEY} differs')
    del value[_KEY]
  return value


def load(path: epath.PathLike) -> Any:
  """Parses a file of JSON.

  Raises:
    ValueError: it is no JSON; the message names the file.
    OSError: it cannot be read.
  """
  try:
    return loads(epath.Path(path).read_bytes())
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def dumps(value: Any, **options: Any) -> str:
  """Formats JSON that `loads` reads; see `json.dumps` for the options.

  Raises:
    ValueError: the value is not JSON, or contains NaN or infinity.
  """
  try:
    return json.dumps(value, allow_nan=False, **options)
  except TypeError as error:
    raise ValueError(str(error)) from error


def _object(pairs):
  value = dict(pairs)
  if len(value) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f'the key {twice!r} is there twice')
  return value


def _number(text):
  number = float(text)
  if not math.isfinite(number):
    raise ValueError(f'{text[:20]} is not a finite number')
  return number


def _refuse_half_characters(text, value):
  """One half of a surrogate pair can be neither shown nor written."""
  try:
    json.dumps(value, ensure_ascii=False).encode()
  except UnicodeEncodeError as error:
    raise ValueError(
      f'{error.object[error.start]!r} is half a character'
    ) from None
