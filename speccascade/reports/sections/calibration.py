"""Whether theory predicts the measured rejections and latency.

And whether the rejections predict the latency: the rank correlation of both.
"""

import collections
import functools
import math
import statistics

from speccascade.reports.render import calibration as calibration_figure
from speccascade.reports.render import page, tables
from speccascade.reports.stats import calibration, cells, points

_CAPTION = """\
Rejections expected from D_TV(π, q) and latency predicted from counts and costs,
against the measured ones."""

_ACCURACY = """\
Rejections: D_TV(π, q) summed over the emitted positions, against the tokens
rejected. A text counts once, however many draft plans made it; methods that do
not reject with probability D_TV(π, q) are left out. Latency: the costs of
drafter steps and verifier blocks, measured alone, times their counts, relative
to the same of the verifier alone, against the measured latencies; none is
predicted under a draft schedule, nor of cascades that have no draft plan and
methods whose text it changes. Error: the mean of |expected / measured − 1|
where measured is not 0."""

_RANK = """\
Rank correlation (Spearman) of rejection rate and relative latency over the
points of predicted latency that share a sampling and a draft plan, at least
three; 1 where fewer rejections are always faster. Rejections are of all
examples, latency of the timed ones."""


def section(records: list[dict]) -> page.Section | None:
  """Returns the figure and tables; None without a predicted latency."""
  if not calibration.select(records):
    return None
  caption = ' '.join(_CAPTION.split())
  draw = functools.partial(calibration_figure.draw, records)
  body = [
    answer(records),
    page.Figure('calibration.png', draw, caption, caption),
    accuracy(records),
    rank(records),
  ]
  return page.Section('Does theory predict the measurements?', body)


def accuracy(records: list[dict]) -> tables.Table:
  """Tabulates how well both are predicted, by pair, task and sampling."""
  rows = []
  for cell, group in cells.by_cell(records).items():
    for sampling, drawn in points.by_sampling(group).items():
      own, once = calibration.select(drawn), calibration.texts(drawn)
      if not own + once:
        continue
      rejections = (
        [calibration.expected_rejection_rate(r) for r in once],
        [r['rejection_rate'] for r in once],
      )
      latencies = (
        [calibration.predicted_latency(r, group) for r in own],
        [points.relative_latency(r) for r in own],
      )
      rows.append(
        [
          *cell,
          str(sampling),
          str(len(once)),
          _number(calibration.correlation(*rejections), 3),
          _percent(calibration.error(*rejections)),
          str(len(own)),
          _number(calibration.correlation(*latencies), 3),
          _percent(calibration.error(*latencies)),
        ]
      )
  columns = ['pair', 'task', 'sampling']
  columns += ['texts', 'rejections: correlation', 'error']
  columns += ['points', 'latency: correlation', 'error']
  return tables.Table(columns, rows, ' '.join(_ACCURACY.split()))


def rank(records: list[dict]) -> tables.Table:
  """Tabulates the rank correlation of rejection rate and latency."""
  selected = calibration.select(records)
  plans = points.plans(selected)
  rows = []
  for cell, group in cells.by_cell(selected).items():
    for sampling, own in points.by_sampling(group).items():
      within = _within(own)
      rows.append(
        [
          *cell,
          str(sampling),
          *(_number(within.get(plan, math.nan)) for plan in plans),
          _number(_rejection_and_latency(own)),
        ]
      )
  columns = ['pair', 'task', 'sampling', *(f'γ = {plan}' for plan in plans)]
  return tables.Table([*columns, 'all plans'], rows, ' '.join(_RANK.split()))


def answer(records: list[dict]) -> str:
  """Says in a sentence whether the rejection rate predicts the latency."""
  within, over = [], []
  for group in cells.by_cell(calibration.select(records)).values():
    for own in points.by_sampling(group).values():
      within += _within(own).values()
      over.append(_rejection_and_latency(own))
  within = [x for x in within if not math.isnan(x)]
  over = [x for x in over if not math.isnan(x)]
  if not within:
    return 'Too few points to say whether the rejection rate predicts latency.'
  return (
    'Does the rejection rate predict latency? Among points of one draft plan '
    f'and one sampling, their rank correlation is {_middle(within)}; among '
    f'points of one sampling under all plans it is {_middle(over)}.'
  )


def _rejection_and_latency(records):
  return calibration.rank_correlation(
    [r['rejection_rate'] for r in records],
    [points.relative_latency(r) for r in records],
  )


def _within(records):
  """The rank correlation under each draft plan."""
  groups = collections.defaultdict(list)
  for record in records:
    if record['gamma'] is not None:
      groups[points.plan(record)].append(record)
  return {plan: _rejection_and_latency(own) for plan, own in groups.items()}


def _middle(values):
  """The median, with the number and the range of the values."""
  text = f'{statistics.median(values):.2f}'
  if len(values) == 1:
    return text
  return (
    f'{text} in the median of {len(values)} such groups '
    f'({min(values):.2f} to {max(values):.2f})'
  )


def _number(value, digits=2):
  return '–' if math.isnan(value) else f'{value:.{digits}f}'


def _percent(value):
  return '–' if math.isnan(value) else f'{value:.1%}'
