"""Records of a run: a JSONL file with one object per measured point.

`FIELDS` documents the fields. A record of an earlier schema is upgraded when
it is read, one without a field that may be missing is completed, and fields
that this version does not know are kept.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

from etils import epath

from speccascade.storage import field_types, json_text, lines

SCHEMA = 2  # Of the records that are written.
POSITIONS = 16  # Tokens that share a place of `positions`.

_NULL = field_types.NULL
_NUMBER = field_types.NUMBER
_NUMBERS = field_types.NUMBERS
_INTS = field_types.Items(list, int)

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
  'accepted_lengths': _INTS,  # blocks with 0, 1, ..., gamma + 1
}

FIELDS = {
  'schema': int,
  'id': str,
  'task': str,
  'pair': str,
  'method': str,
  'parameters': field_types.Items(dict, _NUMBER),  # of the method, or {}
  'traits': TRAITS,
  'family': (str, _NULL),  # methods of one share a panel
  'gamma': (int, _NULL),  # draft length; null where no draft plan applies
  'schedule': (str, _NULL),  # 'fixed', or the one that shortens drafts
  'schedule_parameter': (*_NUMBER, _NULL),
  'temperature': _NUMBER,
  'top_p': _NUMBER,
  'top_k': int,
  'seed': int,
  'max_new_tokens': (int, _NULL),  # most of an answer, EOS included
  'num_examples': int,  # of quality, output_length and counts
  'metric': str,
  'quality': _NUMBER,  # the metric over all examples; higher is better
  'quality_stderr': _NUMBER,  # bootstrap over the examples
  'more': field_types.Items(dict, _NUMBER),  # {name: mean of other scores}
  'example_statistics': field_types.Items(list, _NUMBERS),  # of the metric
  'example_tokens': _INTS,  # generated, EOS included
  'example_rejected': _INTS,  # of them; 0 for a model alone
  # (of the drafter, all) of each POSITIONS tokens of the answers; [] if alone
  'positions': field_types.Items(list, _INTS),
  'output_length': _NUMBER,  # mean tokens per example, EOS included
  'latency_examples': int,  # prompts timed in each trial, at batch 1
  'seconds': _NUMBERS,  # per trial, over all timed examples
  'example_seconds': _NUMBERS,  # per timed example, mean of the trials
  'timed_tokens': (_INTS, _NULL),  # per timed example, of the timed answer
  'timed_calls': (_INTS, _NULL),  # likewise, of the verifier
  'timed_differs': (*_NUMBER, _NULL),  # share that is not the scored answer
  'predicted_seconds': (*_NUMBER, _NULL),  # of all timed examples, from counts
  'verifier_seconds': _NUMBERS,  # the verifier alone: same prompts and trials
  'verifier_example_seconds': (_NUMBERS, _NULL),  # likewise, mean of the trials
  'strict_seconds': (_NUMBERS, _NULL),  # strict under the same draft plan
  'relative_latency': _NUMBERS,  # seconds / verifier_seconds, per trial
  'costs': (_NUMBERS, _NULL),  # that a schedule was given, by block width
  'cost_spread': (*_NUMBER, _NULL),  # of the costs: largest over least round
  'counts': COUNTS,  # sums over num_examples
  'block_efficiency': _NUMBER,  # tokens / verifier calls
  'rejection_rate': _NUMBER,  # rejected / tokens
  'device': str,
  'dtype': str,
  'versions': field_types.Items(dict, (str, _NULL)),
  'git_revision': (str, _NULL),  # null outside a checkout
}

# Fields that may be missing, and what they become.
_UNKNOWN = {
  'more': {},
  'family': None,
  'positions': [],
  'max_new_tokens': None,
  'timed_tokens': None,
  'timed_calls': None,
  'timed_differs': None,
  'predicted_seconds': None,
  'verifier_example_seconds': None,
  'strict_seconds': None,
  'costs': None,
  'cost_spread': None,
  'versions': {},
  'git_revision': None,
}
_TOLD_BY_OTHERS = {
  'num_examples': lambda r: len(r['example_tokens']),
  'output_length': lambda r: sum(r['example_tokens']) / r['num_examples'],
  'block_efficiency': lambda r: (
    r['counts']['tokens'] / r['counts']['verifier_calls']
    if r['counts']['verifier_calls']
    else 1.0  # The drafter alone.
  ),
  'rejection_rate': lambda r: r['counts']['rejected'] / r['counts']['tokens'],
  'relative_latency': lambda r: [
    own / alone
    for own, alone in zip(r['seconds'], r['verifier_seconds'], strict=True)
  ],
}

_POSITIVE = (
  'top_p',
  'max_new_tokens',
  'num_examples',
  'output_length',
  'latency_examples',
  'seconds',
  'example_seconds',
  'verifier_seconds',
  'verifier_example_seconds',
  'strict_seconds',
  'relative_latency',
  'block_efficiency',
)
_NOT_NEGATIVE = (
  'gamma',
  'temperature',
  'top_k',
  'seed',
  'quality_stderr',
  'example_tokens',
  'example_rejected',
  'timed_tokens',
  'timed_calls',
  'timed_differs',
  'predicted_seconds',
  'costs',
  'cost_spread',
  'rejection_rate',
)
_LENGTHS = {
  'num_examples': ('example_statistics', 'example_tokens', 'example_rejected'),
  'latency_examples': (
    'example_seconds',
    'timed_tokens',
    'timed_calls',
    'verifier_example_seconds',
  ),
  'seconds': ('verifier_seconds', 'strict_seconds', 'relative_latency'),
}

# {schema: function from a record of it to one of the next}.
_UPGRADES = {1: lambda record: record | {'schema': 2} | _renamed(record)}


def upgrade(record: dict[str, Any]) -> dict[str, Any]:
  """Returns a record as this version writes it.

  Args:
    record: of this schema or an earlier one; the first had no `schema`.

  Raises:
    ValueError: it is of a later schema, or its schema is no number.
  """
  _check_is_object(record)
  schema = record.get('schema', 1)
  if type(schema) is not int or schema < 1:
    raise ValueError(
      f'{_name(record)}: schema must be int from 1 on, got {schema!r:.80}'
    )
  if schema > SCHEMA:
    raise lines.Later(
      f'{_name(record)} is of schema {schema}, but this speccascade reads '
      f'schemas up to {SCHEMA}; update speccascade'
    )
  for version in range(schema, SCHEMA):
    record = _UPGRADES[version](record)
  record = record | {k: x for k, x in _UNKNOWN.items() if k not in record}
  for field, tell in _TOLD_BY_OTHERS.items():
    if field not in record:
      # What cannot be told is missing, which `check` says.
      with contextlib.suppress(
        LookupError, TypeError, ValueError, ArithmeticError
      ):
        record[field] = tell(record)
  return record


def check(record: dict[str, Any]) -> None:
  """Validates a record of this schema, which may have other fields, too.

  Raises:
    ValueError: one line that names the record and a field that is missing, of
      a wrong type, out of range, or of another length than those beside it.
  """
  _check_is_object(record)
  name = _name(record)
  field_types.check(record, FIELDS, name)
  for field in _POSITIVE:
    if not all(x > 0 for x in _numbers(record[field])):
      raise ValueError(f'{name}: {field} must be positive')
  for field in _NOT_NEGATIVE:
    if not all(x >= 0 for x in _numbers(record[field])):
      raise ValueError(f'{name}: {field} must not be negative')
  for count in COUNTS:
    if not all(x >= 0 for x in _numbers(record['counts'][count])):
      raise ValueError(f'{name}: counts.{count} must not be negative')
  if not record['counts']['tokens']:
    raise ValueError(f'{name}: counts.tokens must be positive')
  if not record['seconds']:
    raise ValueError(f'{name}: seconds must have at least one value')
  for field, others in _LENGTHS.items():
    length = _length(record[field])
    for other in others:
      if record[other] is not None and len(record[other]) != length:
        raise ValueError(
          f'{name}: {other} must have {length} values, as {field} tells, got '
          f'{len(record[other])}'
        )
  if len(set(map(len, record['example_statistics']))) > 1:
    raise ValueError(f'{name}: example_statistics must all have one length')


def parse(line: bytes) -> dict[str, Any]:
  """Returns the record of a line, as this version writes it.

  Raises:
    ValueError: as `upgrade` and `check`.
  """
  record = upgrade(json_text.loads(line))
  check(record)
  return record


def read(path: epath.PathLike) -> list[dict[str, Any]]:
  """Returns the complete records in order; none if the file is missing.

  Raises:
    ValueError: a complete line is not JSON, is no valid record or repeats an
      id; the message names the file and the line.
  """
  return _distinct(path, lines.read(path, parse))


def log(path: epath.PathLike) -> lines.Log:
  """Opens a file of records to append to.

  Raises:
    ValueError: as `read`.
  """
  opened = lines.Log(path, parse)
  _distinct(path, opened.lines)
  return opened


def write(path: epath.PathLike, records: Iterable[dict[str, Any]]) -> None:
  """Replaces a file of records at once; a kill leaves the old or the new one.

  Raises:
    ValueError: a record is not valid; nothing was written.
  """
  records = list(records)
  for record in records:
    check(record)
  lines.write(path, records)


def _renamed(record):
  """What schema 1, which was not written, called rouge2 took no stems."""
  is_old = record.get('metric') == 'rouge2'
  return {'metric': 'rouge2_unstemmed'} if is_old else {}


def _distinct(path, records):
  seen = set()
  for number, record in enumerate(records, start=1):
    if record['id'] in seen:
      raise ValueError(
        f'{path}:{number}: a second record {record["id"]!r}; correct or delete '
        'this line'
      )
    seen.add(record['id'])
  return records


def _check_is_object(record):
  if not isinstance(record, dict):
    raise ValueError(f'a record must be an object, got {record!r:.40}')


def _name(record):
  return f'record {record.get("id")!r:.200}'


def _numbers(value):
  if value is None:
    return []
  return value if isinstance(value, list) else [value]


def _length(value):
  return value if isinstance(value, int) else len(value)
