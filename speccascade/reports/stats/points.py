"""Records seen as points: grouped by sampling and method, with their speed."""

import collections
import math
import statistics
from typing import NamedTuple

from speccascade.runs import records as records_lib

# The methods that others are compared with; no other is known by its name.
VERIFIER = 'verifier_alone'
DRAFTER = 'drafter_alone'
STRICT = 'strict'
MODELS = (VERIFIER, DRAFTER)
# The verifier is truncated, then followed losslessly; strict truncates nothing.
CONTROLS = (STRICT, 'top_p', 'top_k', 'min_p')

_SYMBOLS = {'alpha': 'α', 'beta': 'β', 'tau': 'τ'}


class Sampling(NamedTuple):
  """How both models are sampled; only points that share it compare."""

  temperature: float
  top_p: float
  top_k: int

  def __str__(self) -> str:
    parts = [f'temperature {number(self.temperature)}']
    if self.top_p < 1:
      parts.append(f'top-p {number(self.top_p)}')
    if self.top_k:
      parts.append(f'top-k {self.top_k}')
    return ', '.join(parts)


def number(value: float) -> str:
  """Returns a number that distinguishes it from others: '0.5', '2', '1e-09'."""
  text = f'{value:g}'
  return text if float(text) == value else repr(value)


def sampling(record: dict) -> Sampling:
  """Returns how both models were sampled."""
  return Sampling(*(record[k] for k in Sampling._fields))


def by_sampling(records: list[dict]) -> dict[Sampling, list[dict]]:
  """Groups records by sampling, in increasing temperature."""
  groups = collections.defaultdict(list)
  for record in records:
    groups[sampling(record)].append(record)
  return {key: groups[key] for key in sorted(groups)}


def by_method(records: list[dict]) -> dict[str, list[dict]]:
  """Groups records by method, the models alone first, then as they appear."""
  groups = {model: [] for model in MODELS}
  for record in records:
    groups.setdefault(record['method'], []).append(record)
  return {method: group for method, group in groups.items() if group}


def family(record: dict) -> str:
  """Returns the family of the method, which shares a panel of figures."""
  return record['family'] or 'methods'


def parameters(record: dict) -> str:
  """Returns the method's parameters: '', 'α 0.5', 'α 0.5, β 2'."""
  return parameters_text(record['parameters'])


def parameters_text(values: dict[str, float]) -> str:
  """Returns parameters by symbol or name: '', 'α 0.5', 'τ 0.1, window 3'."""
  return ', '.join(
    f'{_SYMBOLS.get(name, name)} {number(value)}'
    for name, value in values.items()
  )


def values(record: dict) -> tuple[float, ...]:
  """Returns the values of the parameters, in the method's order."""
  return tuple(record['parameters'].values())


def text(record: dict) -> tuple:
  """Returns a key that is equal for records of one text.

  Args:
    record: of one pair and task. Records of a text differ in nothing but their
      draft plan, and share quality, tokens and rejections. Where the plan
      changes the text, each plan has a text of its own.
  """
  key = (*sampling(record), record['method'], values(record))
  if record['traits']['plan_changes_text']:
    key += tuple(record[k] for k in ('gamma', 'schedule', 'schedule_parameter'))
  return key


def plan(record: dict) -> str | None:
  """Returns how drafts were sized: '5', 'cost ≤ 16'; None without drafts."""
  if record['gamma'] is None:
    return None
  if record['schedule'] == 'fixed':
    return f'{record["gamma"]}'
  parameter = record['schedule_parameter']
  name = record['schedule']
  if parameter is not None:
    name += f' {number(parameter)}'
  return f'{name} ≤ {record["gamma"]}'


def plans(records: list[dict]) -> list[str]:
  """Returns the draft plans: fixed lengths, increasing, then schedules."""
  found = {plan(r): r for r in records if r['gamma'] is not None}
  return sorted(
    found,
    key=lambda p: (
      found[p]['schedule'] != 'fixed',
      found[p]['schedule'],
      found[p]['schedule_parameter'] or 0,
      found[p]['gamma'],
    ),
  )


def relative_latency(record: dict) -> float:
  """Returns seconds over the verifier's alone, averaged over the trials."""
  return statistics.fmean(record['relative_latency'])


def latency_error(record: dict) -> float:
  """Returns the standard error of `relative_latency`; NaN for one trial."""
  trials = record['relative_latency']
  if len(trials) < 2:
    return math.nan
  return statistics.stdev(trials) / math.sqrt(len(trials))


def speedup(record: dict) -> float:
  """Returns the verifier's seconds over the point's."""
  return 1 / relative_latency(record)


def verifier_beside(record: dict, verifier: dict) -> dict:
  """Returns the verifier's record, with its seconds beside a point.

  A machine may be slower on the day on which a sweep grows: seconds compare
  within the turns of a point only.

  Args:
    record: of any point.
    verifier: the verifier alone, whose own turns stand for those of an old
      record, which does not tell its examples' seconds.
  """
  seconds = record['verifier_example_seconds']
  if seconds is None:
    return verifier
  return verifier | {
    'example_seconds': seconds,
    'seconds': record['verifier_seconds'],
  }


def columns_and_rows(records: list[dict]) -> tuple[list[str], list[list]]:
  """Returns a table of raw values with a row for each record.

  The order of columns is that of `records.FIELDS`; other fields come last.
  The quality of verifier_alone and of strict is that of its own sample; the
  report's tables and figures pool the two.

  Each parameter, trait, count and version has a column. Trials and accepted
  lengths are numbers in one cell, separated by spaces. Values of single
  examples are left out. What a record lacks is None.
  """
  rows = [
    {
      **_flatten(record),
      'mean_relative_latency': relative_latency(record),
      'speedup': speedup(record),
    }
    for record in records
  ]
  columns = list(dict.fromkeys(column for row in rows for column in row))
  return columns, [[row.get(column) for column in columns] for row in rows]


def _flatten(record: dict) -> dict:
  row = {}
  known = [field for field in records_lib.FIELDS if field in record]
  for field, value in (dict.fromkeys(known) | record).items():
    if field.startswith(('example_', 'verifier_example_')):
      continue
    if isinstance(value, dict):
      row |= {f'{field}.{k}': v for k, v in _flatten(value).items()}
    elif isinstance(value, list):
      row[field] = ' '.join(map(str, value))
    else:
      row[field] = value
  return row
