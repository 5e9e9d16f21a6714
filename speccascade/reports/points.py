"""Records seen as points: grouped by sampling and rule, with their speed."""

import collections
import csv
import io
import math
import statistics
from typing import NamedTuple

VERIFIER = 'verifier_alone'
DRAFTER = 'drafter_alone'


class Sampling(NamedTuple):
  """How both models are sampled; only points that share it compare."""

  temperature: float
  top_p: float
  top_k: int

  def __str__(self) -> str:
    parts = [f'temperature {self.temperature:g}']
    if self.top_p < 1:
      parts.append(f'top-p {self.top_p:g}')
    if self.top_k:
      parts.append(f'top-k {self.top_k}')
    return ', '.join(parts)


def by_sampling(records: list[dict]) -> dict[Sampling, list[dict]]:
  """Groups records by sampling, in increasing temperature."""
  groups = collections.defaultdict(list)
  for record in records:
    groups[Sampling(*(record[k] for k in Sampling._fields))].append(record)
  return {sampling: groups[sampling] for sampling in sorted(groups)}


def by_rule(records: list[dict]) -> dict[str, list[dict]]:
  """Groups records by rule, the models alone first, then as they appear."""
  groups = {VERIFIER: [], DRAFTER: []}
  for record in records:
    groups.setdefault(record['rule'], []).append(record)
  return {rule: group for rule, group in groups.items() if group}


def plan(record: dict) -> str | None:
  """Returns how drafts were sized: '5', 'cost ≤ 16'; None without drafts."""
  if record['gamma'] is None:
    return None
  if record['schedule'] == 'fixed':
    return f'{record["gamma"]}'
  parameter = record['schedule_parameter']
  name = record['schedule'] + ('' if parameter is None else f' {parameter:g}')
  return f'{name} ≤ {record["gamma"]}'


def plans(records: list[dict]) -> list[str]:
  """Returns the plans: fixed draft lengths, increasing, then schedules."""
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


def quality_text(metric: str, value: float) -> str:
  """Returns a quality in the digits that its metric has."""
  return f'{value:.1f}' if metric == 'bleu' else f'{value:.3f}'


def to_csv(records: list[dict]) -> str:
  """Returns every record as a row, its values raw, as they were measured.

  So the verifier alone and strict have a quality each, that of its own sample,
  where the report's tables and figures have one of both.

  Each count and version has a column; trials and accepted lengths are numbers
  in one cell, parted by spaces. What is told of single examples is left out.
  """
  rows = [
    {
      **_flatten(record),
      'mean_relative_latency': relative_latency(record),
      'speedup': speedup(record),
    }
    for record in records
  ]
  columns = dict.fromkeys(column for row in rows for column in row)
  text = io.StringIO()
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def _flatten(record: dict) -> dict:
  row = {}
  for field, value in record.items():
    if field.startswith('example_'):
      continue
    if isinstance(value, dict):
      row |= {f'{field}.{k}': v for k, v in _flatten(value).items()}
    elif isinstance(value, list):
      row[field] = ' '.join(map(str, value))
    else:
      row[field] = value
  return row
