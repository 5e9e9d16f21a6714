"""Draws expected rejections and predicted latencies against the measured."""

import collections

from matplotlib import figure, lines

from speccascade.reports.render import escape, styles
from speccascade.reports.stats import calibration, cells, points


def draw(records: list[dict]) -> figure.Figure:
  """Draws a row for each pair and task: rejections, then latency.

  The colour of a dot is that of its method's family. Under rejections each
  text has one dot; under latency each point has one, whose marker is the draft
  plan's. Expected and measured values agree on the line.

  Raises:
    ValueError: no record has a predicted latency.
  """
  groups = cells.by_cell(calibration.select(records))
  if not groups:
    raise ValueError(
      'no record predicts its latency; calibrate with records of methods'
    )
  all_groups = cells.by_cell(records)
  drawn = [
    r
    for cell, own in groups.items()
    for r in own + calibration.texts(all_groups[cell])
  ]
  colors = styles.dots(dict.fromkeys(map(points.family, drawn)))
  markers = styles.plan_markers(calibration.select(records))
  legend = _legend(colors, markers)
  fig = figure.Figure(
    figsize=(10, max(0.5 + 3.8 * len(groups), 0.3 + 0.22 * len(legend))),
    layout='constrained',
  )
  fig.legend(handles=legend, loc='outside right center', frameon=False)
  axes = fig.subplots(len(groups), 2, squeeze=False)
  for (left, right), (cell, group) in zip(axes, groups.items(), strict=True):
    _rejections(left, all_groups[cell], colors)
    _latencies(right, group, all_groups[cell], colors, markers)
    title = escape.label(f'{cell.task}, pair {cell.pair}')
    for ax in (left, right):
      ax.set_title(title, fontsize='medium')
      _finish(ax)
  # A first layout shrinks the square panels, which changes the width of their
  # tick labels; the second, when the figure is rendered, has room for them.
  fig.draw_without_rendering()
  return fig


def _rejections(ax, group, colors):
  texts = calibration.texts(group)
  for family, own in _by_family(texts).items():
    _dots(
      ax,
      map(calibration.expected_rejection_rate, own),
      (r['rejection_rate'] for r in own),
      map(calibration.rejection_error, own),
      marker='o',
      **colors[family],
    )
  ax.set_xlabel('rejection rate, expected: mean D_TV')
  ax.set_ylabel('rejection rate, measured')


def _latencies(ax, group, of_cell, colors, markers):
  looks = collections.defaultdict(list)
  for record in group:
    looks[points.family(record), points.plan(record)].append(record)
  for (family, plan), own in looks.items():
    _dots(
      ax,
      [calibration.predicted_latency(r, of_cell) for r in own],
      map(points.relative_latency, own),
      map(points.latency_error, own),
      marker=markers[plan],
      **colors[family],
    )
  ax.set_xlabel('latency, predicted (the verifier: 1)')
  ax.set_ylabel('latency, measured')


def _by_family(records):
  found = collections.defaultdict(list)
  for record in records:
    found[points.family(record)].append(record)
  return found


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
    lines.Line2D([], [], label=escape.label(family), marker='o', **dot, **style)
    for family, style in colors.items()
  ]
  handles += [
    lines.Line2D(
      [],
      [],
      label='no draft plan' if plan is None else escape.label(f'γ = {plan}'),
      marker=marker,
      color='0.3',
      **dot,
    )
    for plan, marker in markers.items()
  ]
  return handles
