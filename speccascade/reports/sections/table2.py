"""The paper's Table 2: methods by tasks and pairs, two numbers in each.

The speed-up at the verifier's quality, and the best quality at no more than the
verifier's latency, over all recorded parameters and draft plans
(arXiv 2405.19261, Table 2).
"""

import math

from speccascade.reports.render import page, tables
from speccascade.reports.stats import (
  cells,
  choice,
  estimates,
  law,
  points,
  promise,
)
from speccascade.tasks import metrics

_CAPTION = f"""\
Latency: the speed-up over the verifier alone at its quality, the fastest of the
parameters and draft plans swept that are shown to lose at most
{choice.MARGIN:.0%} of it, all bounds holding together with
{promise.LEVEL:.0%} confidence; a lossless method loses nothing, by its law.
Undecided: about how many examples would show one, if it loses as much on them;
loses more: each does, as measured.
Quality: the best at no more than the verifier's latency. In brackets: the 95 %
interval of a bootstrap over the examples, and for a latency over timed examples
and trials, that makes the choice of the fastest or best anew; its percentiles
are over the resamples in which a point qualifies, whose share follows where it
is not all. Choosing the fastest of many points
biases it upwards a little; the interval includes the choice. The interval of a
binary metric is at least as wide as Wilson's. {law.NOTE}
Largest relative standard error, over the trials, of a latency in this table or
in those of the points: {{error}}."""


def section(records: list[dict]) -> page.Section | None:
  """Returns Table 2 of each sampling; None without the verifier alone."""
  body = []
  for sampling, table in summary(records).items():
    body += [f'{str(sampling).capitalize()}:', table]
  return page.Section('Table 2', body) if body else None


def summary(records: list[dict]) -> dict[points.Sampling, tables.Table]:
  """Returns Table 2 of each sampling: a row a method, two columns a cell.

  A cell, pair and task, has columns where it has a record of the verifier
  alone.
  """
  made = {}
  for sampling, group in points.by_sampling(records).items():
    numbers = {
      cell: estimates.numbers(own)
      for cell, own in cells.by_cell(group).items()
      if any(r['method'] == points.VERIFIER for r in own)
    }
    if numbers:
      made[sampling] = _table(sampling, group, numbers)
  return made


def largest_error(records: list[dict]) -> float:
  """Returns the largest relative standard error of a latency, or NaN."""
  errors = [
    points.latency_error(r) / points.relative_latency(r) for r in records
  ]
  return max((e for e in errors if not math.isnan(e)), default=math.nan)


def _table(sampling, group, numbers):
  columns, texts, lone = ['method'], {}, {}
  for cell, own in cells.by_cell(group).items():
    if cell in numbers:
      lone[cell] = own[0]['latency_examples'] == 1
      metric = own[0]['metric']
      texts[cell] = metrics.get(metric).text
      columns += [f'{_name(cell)}: latency', f'{_name(cell)}: {metric}']
  rows = []
  for method in points.by_method(group):
    row = [method]
    for cell, own in numbers.items():
      if method not in own:
        row += ['–', '–']
        continue
      row += [
        own[method].verdict
        or _text(own[method].speedup, '{:.2f}'.format, '×', lone[cell]),
        _text(own[method].quality, texts[cell]),
      ]
    rows.append(row)
  error = largest_error(
    [r for own in cells.by_cell(group).values() for r in choice.shown(own)]
  )
  known = 'unknown, with one trial' if math.isnan(error) else f'{error:.1%}'
  name = 'table2_' + str(sampling).replace(', ', '_').replace(' ', '')
  caption = ' '.join(_CAPTION.format(error=known).split())
  return tables.Table(columns, rows, caption, name)


def _name(cell):
  if cell.pair == cell.task:
    return cell.pair
  return f'{cell.task} with {cell.pair}'


def _text(estimate, form, unit='', lone=False):
  """The number; with its interval unless it is of a lone example."""
  share = f' ({estimate.reached:.0%})'
  share = '' if share == ' (100%)' else share
  if estimate.value is None:
    return 'not reached' + ('' if share == ' (0%)' else share)
  low, high = form(estimate.low), form(estimate.high)
  interval = '' if lone else f' [{low}, {high}]'
  return f'{form(estimate.value)}{unit}{interval}{share}'
