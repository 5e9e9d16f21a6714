"""The method, parameters and draft plan to use for an allowed quality loss.

Chosen on the examples of even index, by a bound on the loss on those of odd
index, and evaluated on these. See `stats.promise`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speccascade.reports.render import page, tables
from speccascade.reports.stats import cells, estimates, law, points, promise
from speccascade.reports.stats import choice as choice_lib
from speccascade.tasks import metrics

LOSSES = (0.0, 0.01, 0.02, 0.05)  # Of the verifier's quality.
_LOSS_OF_METHODS = 0.01
FEWEST_TIMED = 4  # Of a half; under that all timed examples count.
_ROUNDING = 1e-9  # Of a loss.

_CAPTION = f"""\
The fastest point of {{which}} that can be promised to lose at most the allowed
share of the verifier's quality: all points' bounds on the loss, from the
examples of even index (0, 2, ...), hold together on as many others with
{promise.LEVEL:.0%} confidence. A lossless method loses nothing, by its law.
Quality, the verifier's quality, loss and speed-up are those of the odd
examples, which took no part in the choice. Held: whether the loss there is at
most the allowed one too. {{needs}} ± of a speed-up is its relative standard
error over resamples of timed examples and trials. Latency is of the timed
examples of the half, or of all of them where it has fewer than
{FEWEST_TIMED}. {law.NOTE}"""
_NEEDS = """Faster with: the fastest point that lost no more than allowed on the
even examples, and about how many n to choose by would promise it, if it loses
as much on them."""


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
  candidates: Sequence[Point],
  own: promise.Group,
  bounds: promise.Bounds,
  allowed: float,
) -> Point | None:
  """Chooses a point by the even examples.

  Args:
    candidates: of the group.
    own: Group of the verifier's pair, task and sampling.
    bounds: of the group, from the even examples.
    allowed: the largest loss, a share of the verifier's quality.

  Returns:
    The fastest that can be promised, if any; of equally fast ones the better,
    then the earlier.
  """
  promised = [
    p
    for p in candidates
    if bounds.most_K[own.index(p.record)] <= allowed + _ROUNDING
  ]
  return max(
    promised, key=lambda p: (p.even.speedup, p.even.quality), default=None
  )


def needed(
  candidates: Sequence[Point],
  own: promise.Group,
  bounds: promise.Bounds,
  allowed: float,
) -> tuple[Point, float] | None:
  """Returns the fastest point that more examples could promise, and how many.

  Args:
    candidates: as of `choose`, here and below.
    own: Group.
    bounds: Bounds.
    allowed: the largest loss.

  Returns:
    None where no point lost as little as allowed.
  """
  found = [(p, bounds.needed(own.index(p.record), allowed)) for p in candidates]
  found = [(p, number) for p, number in found if math.isfinite(number)]
  return max(found, key=lambda both: both[0].even.speedup, default=None)


def best(records: list[dict]) -> tables.Table:
  """Tabulates the best point of any method for each of `LOSSES`.

  The models alone are candidates too.

  Raises:
    ValueError: a record has other examples than its verifier.
  """
  rows = []
  for names, candidates, verifier, own, bounds in _groups(records):
    for allowed in LOSSES:
      # At worst the verifier alone.
      choice = choose(candidates, own, bounds, allowed)
      row = _row(choice.record['method'], choice, verifier, allowed)
      faster = [p for p in candidates if p.even.speedup > choice.even.speedup]
      more = needed(faster, own, bounds, allowed)
      rows.append([*names, *row, '–' if more is None else _needs(*more)])
  return _table(rows, 'any method', ['faster with'], _NEEDS)


def by_method(records: list[dict]) -> tables.Table:
  """Tabulates the best point of each method for a loss of 1%.

  Raises:
    ValueError: a record has other examples than its verifier.
  """
  rows = []
  for names, candidates, verifier, own, bounds in _groups(records):
    for method in points.by_method([p.record for p in candidates]):
      if method == points.VERIFIER:
        continue
      alike = [p for p in candidates if p.record['method'] == method]
      choice = choose(alike, own, bounds, _LOSS_OF_METHODS)
      row = _row(method, choice, verifier, _LOSS_OF_METHODS)
      if choice is None:
        more = needed(alike, own, bounds, _LOSS_OF_METHODS)
        row[4] = 'loses more' if more is None else f'undecided: {_needs(*more)}'
      rows.append([*names, *row])
  return _table(rows, 'each method')


def _needs(point, number):
  """A point, and how many examples it needs."""
  record = point.record
  parts = record['method'], points.parameters(record), points.plan(record)
  name = ', '.join(x for x in (*parts[:2], parts[2] and f'γ {parts[2]}') if x)
  return f'{name}: {choice_lib.number(number)}'


def _groups(records):
  """Yields (pair, task, sampling), points, the verifier's, Group and Bounds.

  Where the verifier alone has a record and each half an example.
  """
  for cell, group in cells.by_cell(records).items():
    for sampling, own in points.by_sampling(group).items():
      alone = [r for r in own if r['method'] == points.VERIFIER]
      if not alone or alone[0]['num_examples'] < 2:
        continue
      _check_alike(own, alone[0])
      split_own = [split(r, alone[0]) for r in own]
      of_all, number = promise.group(own, alone[0]), alone[0]['num_examples']
      bounds = promise.bounds(of_all, np.arange(0, number, 2), number // 2)
      names = *cell, str(sampling)
      yield names, split_own, split(alone[0], alone[0]), of_all, bounds


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
  enough = len(record['example_seconds'][own]) >= FEWEST_TIMED
  return own if enough else slice(None)


def _row(method, choice, verifier, allowed):
  """The cells of one choice, after those of pair, task and sampling."""
  chosen_for = [f'{100 * allowed:g}%', method]
  if choice is None:
    return [*chosen_for, '–', '–', '', *'––––']
  record = choice.record
  text = metrics.get(record['metric']).text
  speedup = choice.odd.speedup
  resampled_R = estimates.speedups(record, verifier.record, _timed(record, 1))
  error = f' ± {np.std(resampled_R) / speedup:.1%}'
  answer = 'yes' if holds(choice.odd, verifier.odd, allowed) else 'no'
  return [
    *chosen_for,
    points.parameters(record) or '–',
    points.plan(record) or '–',
    text(choice.odd.quality),
    text(verifier.odd.quality),
    f'{100 * loss(choice.odd, verifier.odd):z.1f}%',
    answer,
    f'{speedup:.2f}×{error if len(record["example_seconds"]) > 1 else ""}',
  ]


def _table(rows, which, further=(), needs=''):
  columns = ['pair', 'task', 'sampling', 'allowed loss', 'method']
  columns += ['parameters', 'γ', 'quality', "verifier's", 'loss', 'held']
  columns += ['speed-up', *further]
  caption = _CAPTION.format(which=which, needs=needs)
  return tables.Table(columns, rows, ' '.join(caption.split()))
