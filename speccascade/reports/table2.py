"""The paper's Table 2: methods by tasks and pairs, two numbers in each.

The latency reduction at the verifier's quality, and the best quality at no
more than the verifier's latency, over every alpha and plan of drafts recorded
(arXiv 2405.19261, Table 2).
"""

import functools
import math

from speccascade.reports import bootstrap, cells, details, law, points, tables

_CAPTION = f"""\
Latency: the speed-up over the verifier alone at no less than its quality, the
fastest of the alphas and draft plans swept. Quality: the best at no more than
the verifier's latency. In brackets the 95 % interval of a bootstrap over the
examples, and over the trials of a latency, that makes the whole choice anew;
its percentiles are over the resamples that reach the mark, whose share is told
where some do not. The fastest of many points is chosen, which favours it a
little; the interval redoes the choice. That of exact matches reaches at least
as far as Wilson's. {law.NOTE}
Largest relative standard error, over the trials, of a latency here or in the
tables of the points: {{error}}."""


def summary(records: list[dict]) -> dict[points.Sampling, tables.Table]:
  """Returns Table 2 for each sampling: a row a rule, two columns a cell.

  A cell, pair and task, has its columns where its verifier was measured alone.
  """
  made = {}
  for sampling, group in points.by_sampling(records).items():
    numbers = {
      cell: bootstrap.numbers(own)
      for cell, own in cells.by_cell(group).items()
      if any(r['rule'] == points.VERIFIER for r in own)
    }
    if numbers:
      made[sampling] = _table(group, numbers)
  return made


def largest_error(records: list[dict]) -> float:
  """Returns the largest relative standard error of a latency, or NaN."""
  errors = [
    points.latency_error(r) / points.relative_latency(r) for r in records
  ]
  return max((e for e in errors if not math.isnan(e)), default=math.nan)


def _table(group, numbers):
  columns, metrics = ['rule'], {}
  for cell, own in cells.by_cell(group).items():
    if cell in numbers:
      metrics[cell] = own[0]['metric']
      columns += [f'{_name(cell)}: latency', f'{_name(cell)}: {metrics[cell]}']
  rows = []
  for rule in points.by_rule(group):
    row = [rule]
    for cell, own in numbers.items():
      if rule not in own:
        row += ['–', '–']
        continue
      quality = functools.partial(points.quality_text, metrics[cell])
      row += [
        _text(own[rule].speedup, '{:.2f}'.format, '×'),
        _text(own[rule].quality, quality),
      ]
    rows.append(row)
  error = largest_error(
    [r for own in cells.by_cell(group).values() for r in details.shown(own)]
  )
  known = 'not known, of one trial' if math.isnan(error) else f'{error:.1%}'
  return tables.Table(columns, rows, _CAPTION.format(error=known))


def _name(cell):
  if cell.pair == cell.task:
    return cell.pair
  return f'{cell.task} with {cell.pair}'


def _text(estimate, form, unit=''):
  share = f' ({estimate.reached:.0%})'
  share = '' if share == ' (100%)' else share
  if estimate.value is None:
    return 'not reached' + ('' if share == ' (0%)' else share)
  low, high = form(estimate.low), form(estimate.high)
  return f'{form(estimate.value)}{unit} [{low}, {high}]{share}'
