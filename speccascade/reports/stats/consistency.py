"""Whether the numbers of a record agree.

`runs.records` checks each field for itself. A report shows some fields and
computes others anew, so it would show two numbers for one thing if a record
contradicted itself.
"""

import math
import statistics
from collections.abc import Iterator

from speccascade.tasks import metrics

_PRECISION = 1e-6


def check(record: dict) -> None:
  """Raises ValueError, which names a field, if a record contradicts itself.

  Args:
    record: what `records.read` returned.
  """
  name = f'record {record["id"]!r:.200}'
  if record['metric'] not in metrics.METRICS:
    raise ValueError(
      f'{name} has the unknown metric {record["metric"]!r:.80}; known: '
      f'{", ".join(metrics.METRICS)}'
    )
  metric = metrics.get(record['metric'])
  for row in record['example_statistics']:
    if not metric.is_valid(row):
      raise ValueError(
        f'{name}: example_statistics has {row!r:.80}, which {metric.name} '
        'never gives'
      )
  for complaint in _complaints(record):
    raise ValueError(f'{name}: {complaint}')


def _complaints(record) -> Iterator[str]:
  drafts = record['traits']['drafts']
  for field in ('gamma', 'schedule'):
    if (record[field] is not None) != drafts:
      yield f'{field} is {record[field]!r}, but traits.drafts is {drafts}'
  if record['top_p'] > 1:
    yield f'top_p is {record["top_p"]:g}, more than 1'
  if (record['timed_differs'] or 0) > 1:
    yield f'timed_differs is {record["timed_differs"]:g}, more than 1'
  counts, tokens = record['counts'], record['example_tokens']
  if any(map(int.__gt__, record['example_rejected'], tokens)):
    yield 'example_rejected is more than example_tokens'
  if counts['divergence'] > counts['tokens'] * (1 + _PRECISION):
    yield 'counts.divergence is more than counts.tokens'
  for field, value, told in (
    ('quality', record['quality'], _quality(record)),
    ('counts.tokens', counts['tokens'], sum(tokens)),
    ('counts.rejected', counts['rejected'], sum(record['example_rejected'])),
    (
      'output_length',
      record['output_length'],
      counts['tokens'] / record['num_examples'],
    ),
    (
      'rejection_rate',
      record['rejection_rate'],
      counts['rejected'] / counts['tokens'],
    ),
    ('block_efficiency', record['block_efficiency'], _efficiency(counts)),
    (
      'the sum of example_seconds',
      sum(record['example_seconds']),
      statistics.fmean(record['seconds']),
    ),
    *_of_the_verifier(record),
    *(
      ('relative_latency', relative, own / alone)
      for relative, own, alone in zip(
        record['relative_latency'],
        record['seconds'],
        record['verifier_seconds'],
        strict=True,
      )
    ),
  ):
    if not math.isclose(value, told, rel_tol=_PRECISION, abs_tol=1e-12):
      yield f'{field} is {value:g}, but other fields tell {told:g}'


def _of_the_verifier(record):
  """By example and by trial, where both are known."""
  if (seconds := record['verifier_example_seconds']) is not None:
    name = 'the sum of verifier_example_seconds'
    yield name, sum(seconds), statistics.fmean(record['verifier_seconds'])


def _quality(record):
  return metrics.quality(record['metric'], record['example_statistics'])


def _efficiency(counts):
  """Tokens of a verifier call; 1 where there is none."""
  calls = counts['verifier_calls']
  return counts['tokens'] / calls if calls else 1.0
