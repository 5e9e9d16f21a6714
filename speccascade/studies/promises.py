"""How often advice keeps its promise: a choice on some examples, on the others.

The examples of each pair, task and sampling are split in two at random, many
times. The advice of the report is taken by one part, and what it loses is
measured on the other. Latency is of all timed examples, which are few.

Letters: N examples, K points of different text.
"""

from typing import NamedTuple

import numpy as np

from speccascade.reports.render import tables
from speccascade.reports.sections import advice
from speccascade.reports.stats import cells, law, points, promise

_ROUNDING = 1e-9  # Of a loss.


class Kept(NamedTuple):
  """How the advice for an allowed loss fared over all splits.

  Attributes:
    held: share of splits in which the other part lost no more than allowed.
    sharper: share of splits in which it named a method that is not lossless.
    speedup: mean speed-up over the verifier alone.
    over_strict: mean speed-up over strict with its fastest plan.
  """

  held: float
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
  for cell, own in cells.by_cell(law.pooled(records)).items():
    for sampling, group in points.by_sampling(own).items():
      alone = [r for r in group if r['method'] == points.VERIFIER]
      if not alone or alone[0]['num_examples'] < 2:
        continue
      for allowed, kept in measure(group, alone[0], splits, seed).items():
        rows.append(
          [
            *cell,
            str(sampling),
            str(alone[0]['num_examples']),
            f'{100 * allowed:g}%',
            f'{kept.held:.1%}',
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
  columns += ['not lossless', 'speed-up', 'over strict']
  caption = (
    f'Held: in which share of {splits} random splits of the examples the point '
    'that is advised by one part loses no more than allowed on the other. Not '
    'lossless: in which share it is a point that changes the law. Speed-ups '
    'are means over the splits, of all timed examples.'
  )
  return tables.Table(columns, rows, caption)


def measure(
  records: list[dict], verifier: dict, splits: int, seed: int
) -> dict[float, Kept]:
  """Returns how the advice fares for each of `advice.LOSSES`.

  Args:
    records: of one pair, task and sampling, pooled.
    verifier: the verifier alone, one of them.
    splits: see `table`.
    seed: likewise.
  """
  own = promise.group(records, verifier)
  N = verifier['num_examples']
  speed = [_speedup(record, verifier) for record in records]
  text = np.array([own.index(record) for record in records])
  strict = max(
    (s for s, r in zip(speed, records, strict=True)
     if r['method'] == points.STRICT),
    default=1.0,
  )  # fmt: skip
  found = {allowed: [] for allowed in advice.LOSSES}
  rng = np.random.default_rng(seed)
  for _ in range(splits):
    order = rng.permutation(N)
    here, there = order[: N // 2], order[N // 2 :]
    bounds = promise.bounds(own, here, len(there))
    loss_K = promise.loss(own, there)
    for allowed in advice.LOSSES:
      promised = np.flatnonzero(bounds.most_K[text] <= allowed + _ROUNDING)
      chosen = max(promised, key=lambda i: speed[i])
      k = text[chosen]
      found[allowed].append(
        (
          loss_K[k] <= allowed + _ROUNDING,
          not own.lossless_K[k],
          speed[chosen],
          speed[chosen] / strict,
        )
      )
  return {
    allowed: Kept(*np.mean(all_, axis=0).tolist())
    for allowed, all_ in found.items()
  }


def _speedup(record, verifier):
  beside = points.verifier_beside(record, verifier)
  return sum(beside['example_seconds']) / sum(record['example_seconds'])
