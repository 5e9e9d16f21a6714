"""Which rule, alpha and plan of drafts to use for a wanted quality loss.

Chosen on the examples of even index alone, then looked at on the others: what
is best of many points on the examples that it was chosen by is partly luck.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from speccascade import scoring
from speccascade.reports import bootstrap, cells, law, points, tables

LOSSES = (0.0, 0.01, 0.02, 0.05)  # of the verifier's quality
_LOSS_OF_RULES = 0.01
_FEWEST_TIMED = 4  # of a half; under that all timed examples count
_ROUNDING = 1e-9  # of a loss

_CAPTION = f"""\
The fastest point of {{which}} that loses no more than wanted, relative to the
verifier's quality, on the examples of even index (0, 2, ...). Quality, the
verifier's quality, loss and speed-up are those of the odd ones, which took no
part in the choice; held: the loss there is no more than wanted either, and the
share of bootstrap resamples of these examples in which it is. ± of a speed-up
is its relative standard error over resamples of timed examples and trials.
Latency is of the timed examples of the half, or of all of them where it has
fewer than {_FEWEST_TIMED}. {law.NOTE}"""


class Half(NamedTuple):
  """What a point reached on half of the examples."""

  quality: float
  seconds: float  # of the examples timed, batch 1


class Point(NamedTuple):
  """A record and its halves."""

  record: dict
  even: Half
  odd: Half


def split(record: dict) -> Point:
  """Tells the halves of a record of two examples or more apart."""
  return Point(record, *(_half(record, start) for start in (0, 1)))


def loss(half: Half, verifier: Half) -> float:
  """Returns the share of the verifier's quality that is lost; a gain is < 0."""
  if verifier.quality == 0:
    return -math.inf if half.quality else 0.0
  return 1 - half.quality / verifier.quality


def holds(half: Half, verifier: Half, wanted: float) -> bool:
  """Returns whether no more than the wanted loss is taken."""
  return loss(half, verifier) <= wanted + _ROUNDING


def choose(
  candidates: list[Point], verifier: Point, wanted: float
) -> Point | None:
  """Chooses a point by the even examples.

  Args:
    candidates: of the verifier's pair, task and sampling.
    verifier: the verifier alone.
    wanted: loss to take at most, a share of the verifier's quality.

  Returns:
    The fastest that takes no more, if any does; of equally fast ones the
    better, then the earlier.
  """
  reached = [p for p in candidates if holds(p.even, verifier.even, wanted)]
  return max(
    reached, key=lambda p: (-p.even.seconds, p.even.quality), default=None
  )


def best(records: list[dict]) -> tables.Table:
  """Tabulates the best point of any rule for each of `LOSSES`.

  The models alone are candidates too: where one of them is best, no cascade is
  worth its while.

  Raises:
    ValueError: records have other examples than their verifier.
  """
  rows = []
  for names, own, verifier in _groups(records):
    for wanted in LOSSES:
      choice = choose(own, verifier, wanted)  # at worst the verifier alone
      rule = choice.record['rule']
      rows.append([*names, *_row(rule, choice, verifier, wanted)])
  return _table(rows, 'any rule')


def by_rule(records: list[dict]) -> tables.Table:
  """Tabulates the best point of each rule for a loss of 1%.

  Raises:
    ValueError: records have other examples than their verifier.
  """
  rows = []
  for names, own, verifier in _groups(records):
    for rule in points.by_rule([p.record for p in own]):
      if rule == points.VERIFIER:
        continue
      alike = [p for p in own if p.record['rule'] == rule]
      choice = choose(alike, verifier, _LOSS_OF_RULES)
      row = _row(rule, choice, verifier, _LOSS_OF_RULES)
      rows.append([*names, *row])
  return _table(rows, 'each rule')


def _groups(records):
  """Pair, task and sampling, all points of these, and the verifier's of them.

  Only where the verifier alone is recorded and each half has an example.
  """
  for cell, group in cells.by_cell(records).items():
    for sampling, own in points.by_sampling(group).items():
      alone = [r for r in own if r['rule'] == points.VERIFIER]
      if not alone or alone[0]['num_examples'] < 2:
        continue
      _check_alike(own, alone[0])
      yield (*cell, str(sampling)), list(map(split, own)), split(alone[0])


def _check_alike(records, verifier):
  for record in records:
    for field in ('num_examples', 'latency_examples', 'metric'):
      if record[field] != verifier[field]:
        raise ValueError(
          f'record {record["id"]!r} has {field} {record[field]} but '
          f'{verifier["id"]!r} has {verifier[field]}; report them apart'
        )


def _half(record, start):
  """The examples of index start, start + 2, ..."""
  statistics_NxK = np.array(record['example_statistics'])[start::2]
  return Half(
    float(scoring.quality(record['metric'], statistics_NxK)),
    sum(record['example_seconds'][_timed(record, start)]),
  )


def _timed(record, start):
  """Which timed examples tell the latency of a half."""
  own = slice(start, None, 2)
  enough = len(record['example_seconds'][own]) >= _FEWEST_TIMED
  return own if enough else slice(None)


def _odd_resamples(record):
  """The odd half in each resample: of all records the same draws."""
  quality_R = bootstrap.qualities(record, slice(1, None, 2))
  seconds_R = bootstrap.seconds(record, _timed(record, 1))
  return list(map(Half, quality_R.tolist(), seconds_R.tolist()))


def _row(rule, choice, verifier, wanted):
  """Cells of one choice, after those that say among what was chosen."""
  chosen_for = [f'{100 * wanted:g}%', rule]
  if choice is None:
    return [*chosen_for, '–', '–', 'not reached', *'––––']
  record = choice.record
  text = functools.partial(points.quality_text, record['metric'])
  drawn = list(
    zip(*map(_odd_resamples, (record, verifier.record)), strict=True)
  )
  held = np.mean([holds(*halves, wanted) for halves in drawn])
  speedup = verifier.odd.seconds / choice.odd.seconds
  error = np.std([other.seconds / own.seconds for own, other in drawn])
  return [
    *chosen_for,
    '–' if record['alpha'] is None else f'{record["alpha"]:g}',
    points.plan(record) or '–',
    text(choice.odd.quality),
    text(verifier.odd.quality),
    f'{100 * loss(choice.odd, verifier.odd):z.1f}%',
    f'{"yes" if holds(choice.odd, verifier.odd, wanted) else "no"}, {held:.0%}',
    f'{speedup:.2f}× ± {error / speedup:.1%}',
  ]


def _table(rows, which):
  columns = ['pair', 'task', 'sampling', 'wanted loss', 'rule', 'α', 'γ']
  columns += ['quality', "verifier's", 'loss', 'held', 'speed-up']
  caption = _CAPTION.format(which=which)
  return tables.Table(columns, rows, ' '.join(caption.split()))
