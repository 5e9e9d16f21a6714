"""Whether theory tells what was measured: rejections, and latency.

Rejections: a token is rejected with probability D_TV(π, q) (GenSpecSample of
arXiv 2405.19261), so its sum over the emitted positions is the number expected.
Latency: what drafter steps and verifier blocks cost, times how many were run.
And whether the first tells the second, the rejection rate the latency.
"""

import collections
import math
import statistics

import numpy as np
from matplotlib import figure, lines

from speccascade.reports import cells, points, styles, tables

_ACCURACY = """\
Rejections: D_TV(π, q) summed over the emitted positions, against the tokens
rejected. Latency: the costs of drafter steps and verifier blocks, measured
alone, times their counts, against the seconds measured. Error: the mean of
|expected / measured − 1| over the points that measured any."""

_RANK = """\
Rank correlation (Spearman) of rejection rate and relative latency over the
points that share a sampling and a plan of drafts, three at least; 1 where fewer
rejections are always faster. Rejections are of all examples, latency of the
timed ones."""


def select(records: list[dict]) -> list[dict]:
  """Returns the records whose latency is predicted, models alone left out."""
  return [
    r
    for r in records
    if r['rule'] not in (points.VERIFIER, points.DRAFTER)
    and r['predicted_seconds'] is not None
  ]


def expected_rejection_rate(record: dict) -> float:
  """Returns the mean D_TV(π, q) of an emitted position."""
  return record['counts']['divergence'] / record['counts']['tokens']


def rejection_error(record: dict) -> float:
  """Returns the binomial standard error of the measured rejection rate."""
  rate = record['rejection_rate']
  return math.sqrt(rate * (1 - rate) / record['counts']['tokens'])


def predicted_latency(record: dict) -> float:
  """Returns the seconds predicted over the verifier's measured.

  Averaged over the trials, as is `points.relative_latency`.
  """
  return statistics.fmean(
    record['predicted_seconds'] / seconds
    for seconds in record['verifier_seconds']
  )


def draw(records: list[dict]) -> figure.Figure:
  """Draws a row for each pair and task: rejections, then latency.

  Dots are coloured by rule; shaped by plan where latency is shown, as the plan
  changes no token and hence no rejection. On the line both agree.

  Raises:
    ValueError: no record has a prediction.
  """
  groups = cells.by_cell(select(records))
  if not groups:
    raise ValueError(
      'no record predicts its latency; calibrate with records of rules'
    )
  used = {record['rule'] for group in groups.values() for record in group}
  colors = styles.rule_colors(records)  # of all: alike in every figure
  colors = {rule: style for rule, style in colors.items() if rule in used}
  markers = styles.plan_markers(select(records))
  legend = _legend(colors, markers)
  fig = figure.Figure(
    figsize=(10, max(0.5 + 3.8 * len(groups), 0.3 + 0.22 * len(legend))),
    layout='constrained',
  )
  fig.legend(handles=legend, loc='outside right center', frameon=False)
  axes = fig.subplots(len(groups), 2, squeeze=False)
  for (left, right), (cell, group) in zip(axes, groups.items(), strict=True):
    for (rule, plan), own in _by_look(group).items():
      _dots(
        left,
        map(expected_rejection_rate, own),
        (r['rejection_rate'] for r in own),
        map(rejection_error, own),
        marker='o',
        **colors[rule],
      )
      _dots(
        right,
        map(predicted_latency, own),
        map(points.relative_latency, own),
        map(points.latency_error, own),
        marker=markers[plan],
        **colors[rule],
      )
    for ax in (left, right):
      ax.set_title(f'{cell.task}, pair {cell.pair}', fontsize='medium')
      _finish(ax)
    left.set_xlabel('rejection rate, expected: mean D_TV')
    left.set_ylabel('rejection rate, measured')
    right.set_xlabel('latency, predicted (the verifier: 1)')
    right.set_ylabel('latency, measured')
  return fig


def accuracy(records: list[dict]) -> tables.Table:
  """Tabulates how well each is foretold, by pair, task and sampling."""
  rows = []
  for cell, group in cells.by_cell(select(records)).items():
    for sampling, own in points.by_sampling(group).items():
      rejections = (
        [expected_rejection_rate(r) for r in own],
        [r['rejection_rate'] for r in own],
      )
      latencies = (
        [predicted_latency(r) for r in own],
        [points.relative_latency(r) for r in own],
      )
      rows.append(
        [
          *cell,
          str(sampling),
          str(len(own)),
          _number(correlation(*rejections), 3),
          _percent(error(*rejections)),
          _number(correlation(*latencies), 3),
          _percent(error(*latencies)),
        ]
      )
  columns = ['pair', 'task', 'sampling', 'points', 'rejections: correlation']
  columns += ['error', 'latency: correlation', 'error']
  return tables.Table(columns, rows, ' '.join(_ACCURACY.split()))


def rank(records: list[dict]) -> tables.Table:
  """Tabulates the rank correlation of rejection rate and latency."""
  selected = select(records)
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
  """Says in a sentence whether the rejection rate tells the latency."""
  within, over = [], []
  for group in cells.by_cell(select(records)).values():
    for own in points.by_sampling(group).values():
      within += _within(own).values()
      over.append(_rejection_and_latency(own))
  within = sorted(x for x in within if not math.isnan(x))
  over = [x for x in over if not math.isnan(x)]
  if not within:
    return 'Too few points to tell whether the rejection rate tells latency.'
  return (
    'Does the rejection rate tell latency? Among points of one plan of drafts '
    f'and one sampling, their rank correlation is '
    f'{statistics.median(within):.2f} in the median of {len(within)} such '
    f'groups ({within[0]:.2f} to {within[-1]:.2f}); among points of one '
    f'sampling under all plans it is {statistics.median(over):.2f}.'
  )


def correlation(x: list[float], y: list[float]) -> float:
  """Returns Pearson's correlation; NaN under three points or for a constant."""
  if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
    return math.nan
  return float(np.corrcoef(x, y)[0, 1])


def error(expected: list[float], measured: list[float]) -> float:
  """Returns the mean of |expected / measured - 1| where measured is not 0."""
  return statistics.fmean(
    [abs(x / y - 1) for x, y in zip(expected, measured, strict=True) if y]
    or [math.nan]
  )


def _rejection_and_latency(records):
  """Spearman's correlation: Pearson's of the ranks."""
  return correlation(
    _ranks([r['rejection_rate'] for r in records]),
    _ranks([points.relative_latency(r) for r in records]),
  )


def _ranks(values):
  """Ranks, equal values sharing the mean of theirs."""
  x = np.array(values)
  return (x > x[:, None]).sum(0) + (x == x[:, None]).sum(0) / 2


def _within(records):
  """The rank correlation under each plan of drafts."""
  groups = collections.defaultdict(list)
  for record in records:
    if record['gamma'] is not None:
      groups[points.plan(record)].append(record)
  return {plan: _rejection_and_latency(own) for plan, own in groups.items()}


def _by_look(records):
  """Groups records by rule and plan."""
  groups = collections.defaultdict(list)
  for record in records:
    groups[record['rule'], points.plan(record)].append(record)
  return groups


def _dots(ax, x, y, y_error, **style):
  style |= dict(linestyle='none', markersize=4.5, elinewidth=0.6)
  ax.errorbar(list(x), list(y), list(y_error), **style)


def _finish(ax):
  """Draws the line of agreement through a square panel."""
  low = min(ax.get_xlim()[0], ax.get_ylim()[0])
  high = max(ax.get_xlim()[1], ax.get_ylim()[1])
  ax.plot([low, high], [low, high], color='0.7', linewidth=1, zorder=0)
  ax.set(xlim=(low, high), ylim=(low, high), aspect='equal')
  ax.grid(color='0.93')
  ax.set_axisbelow(True)
  ax.spines[['top', 'right']].set_visible(False)


def _legend(colors, markers):
  dot = dict(linestyle='none', markersize=4.5)
  handles = [
    lines.Line2D([], [], label=rule, marker='o', **dot, **style)
    for rule, style in colors.items()
  ]
  handles += [
    lines.Line2D(
      [],
      [],
      label='nothing drafted' if plan is None else f'γ = {plan}',
      marker=marker,
      color='0.3',
      **dot,
    )
    for plan, marker in markers.items()
  ]
  return handles


def _number(value, digits=2):
  return '–' if math.isnan(value) else f'{value:.{digits}f}'


def _percent(value):
  return '–' if math.isnan(value) else f'{value:.1%}'
