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

# It rejects every token outside its acceptance set, whatever the drafter gave
# it, and so not with the probability D_TV(π, q).
_NOT_BY_DIVERGENCE = 'bild_rollback'

_ACCURACY = f"""\
Rejections: D_TV(π, q) summed over the emitted positions, against the tokens
rejected; a text counts once, as plans of drafts change no token, and
{_NOT_BY_DIVERGENCE}, which does not reject by D_TV, not at all. Latency: the
costs of drafter steps and verifier blocks, measured alone, times their counts,
over the same of the verifier alone, against the latencies measured. Error: the
mean of |expected / measured − 1| over those that measured any."""

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


def texts(records: list[dict]) -> list[dict]:
  """Returns a record of each text whose rejections D_TV(π, q) foretells.

  Records that differ in nothing but their plan of drafts are one text, with
  one number of rejections.
  """
  found = {}
  fields = (*cells.Cell._fields, *points.Sampling._fields, 'rule', 'alpha')
  for record in select(records):
    if record['rule'] != _NOT_BY_DIVERGENCE:
      found.setdefault(tuple(record[k] for k in fields), record)
  return list(found.values())


def expected_rejection_rate(record: dict) -> float:
  """Returns the mean D_TV(π, q) of an emitted position."""
  return record['counts']['divergence'] / record['counts']['tokens']


def rejection_error(record: dict) -> float:
  """Returns the binomial standard error of the measured rejection rate."""
  rate = record['rejection_rate']
  return math.sqrt(rate * (1 - rate) / record['counts']['tokens'])


def predicted_latency(record: dict, records: list[dict]) -> float:
  """Returns the seconds predicted over the verifier's.

  Over those predicted of it, so that it does not count if the machine was
  slower or faster when costs were measured than when points were timed. Where
  these are not known, over those measured, averaged over the trials as
  `points.relative_latency` is.

  Args:
    record: a point with a prediction.
    records: those of its pair and task, the verifier alone among them or not.
  """
  fields = points.Sampling._fields
  for other in records:
    if (
      other['rule'] == points.VERIFIER
      and all(other[k] == record[k] for k in fields)
      and other['predicted_seconds']
    ):
      return record['predicted_seconds'] / other['predicted_seconds']
  return statistics.fmean(
    record['predicted_seconds'] / seconds
    for seconds in record['verifier_seconds']
  )


def draw(records: list[dict]) -> figure.Figure:
  """Draws a row for each pair and task: rejections, then latency.

  Dots are coloured by rule; shaped by plan where latency is shown, as the plan
  changes no token and hence no rejection; so rejections have a dot a text. On
  the line both agree.

  Raises:
    ValueError: no record has a prediction.
  """
  groups = cells.by_cell(select(records))
  if not groups:
    raise ValueError(
      'no record predicts its latency; calibrate with records of rules'
    )
  used = {record['rule'] for group in groups.values() for record in group}
  # Of all: alike in every figure.
  colors = styles.dots(styles.drawn(records))
  colors = {rule: style for rule, style in colors.items() if rule in used}
  markers = styles.plan_markers(select(records))
  legend = _legend(colors, markers)
  fig = figure.Figure(
    figsize=(10, max(0.5 + 3.8 * len(groups), 0.3 + 0.22 * len(legend))),
    layout='constrained',
  )
  fig.legend(handles=legend, loc='outside right center', frameon=False)
  axes = fig.subplots(len(groups), 2, squeeze=False)
  all_groups = cells.by_cell(records)
  for (left, right), (cell, group) in zip(axes, groups.items(), strict=True):
    for rule, own in points.by_rule(texts(group)).items():
      _dots(
        left,
        map(expected_rejection_rate, own),
        (r['rejection_rate'] for r in own),
        map(rejection_error, own),
        marker='o',
        **colors[rule],
      )
    for (rule, plan), own in _by_look(group).items():
      _dots(
        right,
        [predicted_latency(r, all_groups[cell]) for r in own],
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
  # Square panels shrink in the layout and get other ticks, of other widths: a
  # first layout lets the second know them.
  fig.draw_without_rendering()
  return fig


def accuracy(records: list[dict]) -> tables.Table:
  """Tabulates how well each is foretold, by pair, task and sampling."""
  rows = []
  for cell, group in cells.by_cell(records).items():
    for sampling, own in points.by_sampling(select(group)).items():
      once = texts(own)
      rejections = (
        [expected_rejection_rate(r) for r in once],
        [r['rejection_rate'] for r in once],
      )
      latencies = (
        [predicted_latency(r, group) for r in own],
        [points.relative_latency(r) for r in own],
      )
      rows.append(
        [
          *cell,
          str(sampling),
          str(len(once)),
          _number(correlation(*rejections), 3),
          _percent(error(*rejections)),
          str(len(own)),
          _number(correlation(*latencies), 3),
          _percent(error(*latencies)),
        ]
      )
  columns = ['pair', 'task', 'sampling']
  columns += ['texts', 'rejections: correlation', 'error']
  columns += ['points', 'latency: correlation', 'error']
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
  within = [x for x in within if not math.isnan(x)]
  over = [x for x in over if not math.isnan(x)]
  if not within:
    return 'Too few points to tell whether the rejection rate tells latency.'
  return (
    'Does the rejection rate tell latency? Among points of one plan of drafts '
    f'and one sampling, their rank correlation is {_middle(within)}; among '
    f'points of one sampling under all plans it is {_middle(over)}.'
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


def _middle(values):
  """The median, and of how many values between which."""
  text = f'{statistics.median(values):.2f}'
  if len(values) == 1:
    return text
  return (
    f'{text} in the median of {len(values)} such groups '
    f'({min(values):.2f} to {max(values):.2f})'
  )


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
