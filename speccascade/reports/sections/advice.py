"""The method, parameters and draft plan to use for an allowed quality loss.

Chosen on the examples of even index and evaluated on those of odd index: the
best of many points looks better than it is on the examples it was chosen by.
"""

import math
from typing import NamedTuple

import numpy as np

from speccascade.reports.render import page, tables
from speccascade.reports.stats import cells, estimates, law, points
from speccascade.tasks import metrics

LOSSES = (0.0, 0.01, 0.02, 0.05)  # Of the verifier's quality.
_LOSS_OF_METHODS = 0.01
_FEWEST_TIMED = 4  # Of a half; under that all timed examples count.
_ROUNDING = 1e-9  # Of a loss.

_CAPTION = f"""\
The fastest point of {{which}} whose loss, relative to the verifier's quality,
is at most the allowed one on the examples of even index (0, 2, ...). Quality,
the verifier's quality, loss and speed-up are those of the odd ones, which took
no part in the choice. Held: whether the loss there is at most the allowed one
too, and in which share of bootstrap resamples of these examples it is. ± of a
speed-up is its relative standard error over resamples of timed examples and
trials. Latency is of the timed examples of the half, or of all of them where it
has fewer than {_FEWEST_TIMED}. {law.NOTE}"""


class Half(NamedTuple):
  """What a point reached on half of the examples.

  Attributes:
    quality: in the units of the metric.
    speedup: over the verifier alone, of the timed examples, batch 1.
  """

  quality: float
  speedup: float


class Point(NamedTuple):
  """A record and its halves."""

  record: dict
  even: Half
  odd: Half


def section(records: list[dict]) -> page.Section | None:
  """Returns both tables; None where there is nothing to choose from.

  Raises:
    ValueError: as `best`.
  """
  chosen = best(records)
  if not chosen.rows:
    return None
  heading = 'Which method, parameters and draft plan'
  return page.Section(heading, [chosen, by_method(records)])


def split(record: dict, verifier: dict) -> Point:
  """Returns a record of two examples or more with its halves.

  Args:
    record: of any point.
    verifier: record of the verifier alone.
  """
  return Point(record, *(_half(record, verifier, start) for start in (0, 1)))


def loss(half: Half, verifier: Half) -> float:
  """Returns the lost share of the verifier's quality; negative for a gain."""
  if verifier.quality == 0:
    return -math.inf if half.quality else 0.0
  return 1 - half.quality / verifier.quality


def holds(half: Half, verifier: Half, allowed: float) -> bool:
  """Returns whether the loss is at most the allowed one."""
  return loss(half, verifier) <= allowed + _ROUNDING


def choose(
  candidates: list[Point], verifier: Point, allowed: float
) -> Point | None:
  """Chooses a point by the even examples.

  Args:
    candidates: of the verifier's pair, task and sampling.
    verifier: the verifier alone.
    allowed: the largest loss, a share of the verifier's quality.

  Returns:
    The fastest within the allowed loss, if any; of equally fast ones the
    better, then the earlier.
  """
  reached = [p for p in candidates if holds(p.even, verifier.even, allowed)]
  return max(
    reached, key=lambda p: (p.even.speedup, p.even.quality), default=None
  )


def best(records: list[dict]) -> tables.Table:
  """Tabulates the best point of any method for each of `LOSSES`.

  The models alone are candidates too.

  Raises:
    ValueError: a record has other examples than its verifier.
  """
  rows = []
  for names, own, verifier in _groups(records):
    for allowed in LOSSES:
      choice = choose(own, verifier, allowed)  # at worst the verifier alone
      method = choice.record['method']
      rows.append([*names, *_row(method, choice, verifier, allowed)])
  return _table(rows, 'any method')


def by_method(records: list[dict]) -> tables.Table:
  """Tabulates the best point of each method for a loss of 1%.

  Raises:
    ValueError: a record has other examples than its verifier.
  """
  rows = []
  for names, own, verifier in _groups(records):
    for method in points.by_method([p.record for p in own]):
      if method == points.VERIFIER:
        continue
      alike = [p for p in own if p.record['method'] == method]
      choice = choose(alike, verifier, _LOSS_OF_METHODS)
      row = _row(method, choice, verifier, _LOSS_OF_METHODS)
      rows.append([*names, *row])
  return _table(rows, 'each method')


def _groups(records):
  """Yields (pair, task, sampling), their points and that of the verifier.

  Where the verifier alone has a record and each half an example.
  """
  for cell, group in cells.by_cell(records).items():
    for sampling, own in points.by_sampling(group).items():
      alone = [r for r in own if r['method'] == points.VERIFIER]
      if not alone or alone[0]['num_examples'] < 2:
        continue
      _check_alike(own, alone[0])
      split_own = [split(r, alone[0]) for r in own]
      yield (*cell, str(sampling)), split_own, split(alone[0], alone[0])


def _check_alike(records, verifier):
  for record in records:
    for field in ('num_examples', 'latency_examples', 'metric'):
      if record[field] != verifier[field]:
        raise ValueError(
          f'record {record["id"]!r} has {field} {record[field]} but '
          f'{verifier["id"]!r} has {verifier[field]}; report each on its own'
        )


def _half(record, verifier, start):
  """The examples of index start, start + 2, ..."""
  statistics_NxK = np.array(record['example_statistics'])[start::2]
  rows = _timed(record, start)
  beside = points.verifier_beside(record, verifier)
  return Half(
    metrics.quality(record['metric'], statistics_NxK),
    sum(beside['example_seconds'][rows]) / sum(record['example_seconds'][rows]),
  )


def _timed(record, start):
  """The timed examples behind the latency of a half."""
  own = slice(start, None, 2)
  enough = len(record['example_seconds'][own]) >= _FEWEST_TIMED
  return own if enough else slice(None)


def _odd_resamples(record, verifier):
  """The odd half in each resample; all records have the same draws."""
  quality_R = estimates.qualities(record, slice(1, None, 2))
  speedup_R = estimates.speedups(record, verifier, _timed(record, 1))
  return list(map(Half, quality_R.tolist(), speedup_R.tolist()))


def _row(method, choice, verifier, allowed):
  """The cells of one choice, after those of pair, task and sampling."""
  chosen_for = [f'{100 * allowed:g}%', method]
  if choice is None:
    return [*chosen_for, '–', '–', 'not reached', *'––––']
  record = choice.record
  text = metrics.get(record['metric']).text
  own, others = (
    _odd_resamples(r, verifier.record) for r in (record, verifier.record)
  )
  drawn = zip(own, others, strict=True)
  held = np.mean([holds(*halves, allowed) for halves in drawn])
  speedup = choice.odd.speedup
  error = np.std([half.speedup for half in own])
  answer = 'yes' if holds(choice.odd, verifier.odd, allowed) else 'no'
  return [
    *chosen_for,
    points.parameters(record) or '–',
    points.plan(record) or '–',
    text(choice.odd.quality),
    text(verifier.odd.quality),
    f'{100 * loss(choice.odd, verifier.odd):z.1f}%',
    f'{answer}, {held:.0%}',
    f'{speedup:.2f}× ± {error / speedup:.1%}',
  ]


def _table(rows, which):
  columns = ['pair', 'task', 'sampling', 'allowed loss', 'method']
  columns += ['parameters', 'γ', 'quality', "verifier's", 'loss', 'held']
  caption = _CAPTION.format(which=which)
  return tables.Table([*columns, 'speed-up'], rows, ' '.join(caption.split()))
