"""How often advice keeps its promise: a choice on some examples, on the others.

The examples of each pair, task and sampling are split in two at random, many
times. The advice of the report is taken by one part; what it loses, and how
fast it is, are measured on the other.

Letters: N examples, M timed ones, P points, K points of different text.
"""

from typing import NamedTuple

import numpy as np

from speccascade.reports.render import tables
from speccascade.reports.sections import advice
from speccascade.reports.stats import cells, law, points, promise

_ROUNDING = 1e-9  # Of a loss.

_CAPTION = """\
Held: in which share of {splits} random splits of the examples the point that is
advised by one part loses no more than allowed on the other; {note} As sampled:
the same of the point's own sample beside the verifier's own, where noise alone
can make a lossless method lose. Not lossless: in which
share it is a point that changes the law. Speed-ups are means over the splits,
of the timed examples that took no part in the choice, or of all of them where
either part has fewer than {fewest}."""


class Kept(NamedTuple):
  """How the advice for an allowed loss fared over all splits.

  Attributes:
    held: share of splits in which the other part lost no more than allowed.
    as_sampled: the same, of samples that are not pooled.
    sharper: share of splits in which it named a method that is not lossless.
    speedup: mean speed-up over the verifier alone.
    over_strict: mean speed-up over strict with its fastest plan, or over the
      verifier alone where strict has no record.
  """

  held: float
  as_sampled: float
  sharper: float
  speedup: float
  over_strict: float


def table(records: list[dict], splits: int, seed: int) -> tables.Table:
  """Tabulates how often the advice holds.

  Args:
    records: what `reports.load` returned.
    splits: of the examples of each pair, task and sampling.
    seed: of the splits.

  Raises:
    ValueError: no pair and task has the verifier alone and two examples.
  """
  rows = []
  for cell, own in cells.by_cell(records).items():
    for sampling, group in points.by_sampling(own).items():
      alone = [r for r in group if r['method'] == points.VERIFIER]
      if not alone or alone[0]['num_examples'] < 2:
        continue
      for allowed, kept in measure(group, splits, seed).items():
        rows.append(
          [
            *cell,
            str(sampling),
            str(alone[0]['num_examples']),
            f'{100 * allowed:g}%',
            f'{kept.held:.1%}',
            f'{kept.as_sampled:.1%}',
            f'{kept.sharper:.1%}',
            f'{kept.speedup:.2f}×',
            f'{kept.over_strict:.2f}×',
          ]
        )
  if not rows:
    raise ValueError(
      'no pair and task has a record of verifier_alone with two examples'
    )
  columns = ['pair', 'task', 'sampling', 'examples', 'allowed loss', 'held']
  columns += ['as sampled', 'not lossless', 'speed-up', 'over strict']
  note = law.NOTE[0].lower() + law.NOTE[1:]
  caption = _CAPTION.format(
    splits=splits, note=note, fewest=advice.FEWEST_TIMED
  )
  return tables.Table(columns, rows, ' '.join(caption.split()))


def measure(records: list[dict], splits: int, seed: int) -> dict[float, Kept]:
  """Returns how the advice fares for each of `advice.LOSSES`.

  Args:
    records: of one pair, task and sampling, the verifier alone among them, not
      pooled.
    splits: see `table`.
    seed: likewise.
  """
  own, sampled = (_group(x) for x in (law.pooled(records), records))
  text_P = np.array([own.index(record) for record in records])
  methods = [r['method'] for r in records]
  strict = points.STRICT if points.STRICT in methods else points.VERIFIER
  strict_P = np.array(methods) == strict
  alone_PxM, seconds_PxM = _seconds(records, sampled.verifier)
  N, M = sampled.verifier['num_examples'], seconds_PxM.shape[1]
  found = {allowed: [] for allowed in advice.LOSSES}
  rng = np.random.default_rng(seed)
  for _ in range(splits):
    order = rng.permutation(N)
    here, there = order[: N // 2], order[N // 2 :]
    parts = [rows[rows < M] for rows in (here, there)]
    if min(map(len, parts)) < advice.FEWEST_TIMED:
      parts = [slice(None)] * 2
    choice_P, speed_P = (
      alone_PxM[:, rows].sum(1) / seconds_PxM[:, rows].sum(1) for rows in parts
    )
    of_strict = speed_P[np.where(strict_P, choice_P, -np.inf).argmax()]
    bounds = promise.bounds(own, here, len(there))
    loss_K, sampled_K = (promise.loss(x, there) for x in (own, sampled))
    for allowed in advice.LOSSES:
      most = allowed + _ROUNDING
      promised_P = bounds.most_K[text_P] <= most
      chosen = np.where(promised_P, choice_P, -np.inf).argmax()
      k, speed = text_P[chosen], speed_P[chosen]
      lost = loss_K[k], sampled_K[k]
      found[allowed].append(
        (
          *np.less_equal(lost, most),
          not own.lossless_K[k],
          speed,
          speed / of_strict,
        )
      )
  return {
    allowed: Kept(*np.mean(all_, axis=0).tolist())
    for allowed, all_ in found.items()
  }


def _group(records):
  alone = next(r for r in records if r['method'] == points.VERIFIER)
  return promise.group(records, alone)


def _seconds(records, verifier):
  """Seconds of the verifier alone and of each point, by timed example."""
  beside = [points.verifier_beside(r, verifier) for r in records]
  return tuple(
    np.array([r['example_seconds'] for r in own]) for own in (beside, records)
  )
