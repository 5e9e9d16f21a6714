"""Pictures of `panels`: quality against latency and against rejections."""

from matplotlib import colors, figure, ticker

from speccascade.reports.render import escape, labels, panels, styles

_COLUMNS = 4, 3  # Of a chart with more panels a row than the first.
_WIDTH, _HEIGHT = 3.1, 2.7  # Inches of a panel.
_HEAD = 0.35  # Of what stands above a row.


def draw(chart: panels.Chart) -> figure.Figure:
  """Draws a chart: its rows below each other, their panels side by side.

  Bars are 95 % intervals. The grey steps are the frontier of all methods, the
  dotted line is the verifier's quality, and an open triangle at the border is a
  point that the view leaves out.
  """
  columns = _columns(max(len(row.panels) for row in chart.rows))
  heights = [-(-len(row.panels) // columns) for row in chart.rows]
  fig = figure.Figure(
    figsize=(
      max(_WIDTH * columns + 0.4, 5.0),
      _HEIGHT * sum(heights) + _HEAD * (len(heights) + 1) + 0.3,
    ),
    layout='constrained',
  )
  fig.suptitle(escape.label(chart.title), fontsize='medium')
  parts = fig.subfigures(
    len(heights), squeeze=False, height_ratios=[h + 0.15 for h in heights]
  )
  drawn = []
  for part, row, height in zip(parts[:, 0], chart.rows, heights, strict=True):
    part.suptitle(escape.label(row.title), fontsize='small')
    axes = part.subplots(height, columns, squeeze=False)
    for i, ax in enumerate(axes.flat):
      if i >= len(row.panels):
        ax.remove()
        continue
      drawn.append((ax, row.panels[i], _panel(ax, row.panels[i])))
      if chart.x_mark is not None:
        ax.axvline(chart.x_mark, color='0.85', linewidth=1, zorder=0)
    for own in axes[:, 0]:
      own.set_ylabel(escape.label(chart.y_label), fontsize='small')
  fig.supxlabel(escape.label(chart.x_label), fontsize='small')
  fig.draw_without_rendering()
  fig.set_layout_engine('none')  # Labels have their places in this one.
  for ax, panel, looks in drawn:
    _label(ax, panel, looks)
  return fig


def _columns(number):
  """How many panels stand side by side, so that few places are empty."""
  if number <= max(_COLUMNS):
    return number
  return min(_COLUMNS, key=lambda n: -number % n)


def _panel(ax, panel):
  """Draws a panel but for its labels; returns the look of each line."""
  ax.set(xlim=panel.view.x, ylim=panel.view.y)
  ax.set_title(escape.label(panel.title), fontsize='small')
  ax.tick_params(labelsize='x-small')
  ax.xaxis.set_major_locator(ticker.MaxNLocator(5))
  ax.yaxis.set_major_locator(ticker.MaxNLocator(5))
  ax.grid(color='0.93')
  ax.set_axisbelow(True)
  ax.spines[['top', 'right']].set_visible(False)
  if panel.verifier is not None:
    ax.axhline(panel.verifier, color='0.4', linestyle=':', linewidth=1)
  if panel.frontier:
    x, y = zip(*panel.frontier, strict=True)
    right = max(panel.view.x[1], x[-1])
    ax.step([*x, right], [*y, y[-1]], where='post', color='0.8', zorder=1)
  looks = styles.lines([line.label for line in panel.lines])
  for line in panel.lines:
    look = looks[line.label]
    _draw(ax, line, look)
    for point in line.points:
      if border := panels.on_border(panel.view, point):
        ax.plot(
          *border,
          marker=_towards(panel.view, point),
          markersize=6,
          markerfacecolor='none',
          color=look['color'],
          clip_on=False,
          zorder=5,
        )
  if number := panels.outside(panel):
    ax.set_title(
      f'{number} outside', loc='right', fontsize='x-small', color='0.45'
    )
  return looks


def _draw(ax, line, look):
  if len(line.points) < 2:
    look = look | dict(linestyle='none')  # A point, not a line.
  ax.errorbar(
    [p.x for p in line.points],
    [p.y for p in line.points],
    [p.y_error for p in line.points],
    label=line.label,
    elinewidth=0.6,
    ecolor=colors.to_rgba(look['color'], 0.5),
    **look,
  )


def _towards(view, point):
  """The triangle that points to where a point is."""
  (left, right), (low, high) = view
  if point.y < low:
    return 'v'
  if point.y > high:
    return '^'
  return '<' if point.x < left else '>'


def _label(ax, panel, looks):
  """Names each line beside its last point, or another of its points."""
  dots = [
    panels.on_border(panel.view, p) or (p.x, p.y)
    for line in panel.lines
    for p in line.points
  ]
  labels.place(
    ax,
    [
      labels.Label(
        line.label,
        looks[line.label]['color'],
        [(p.x, p.y) for p in reversed(line.points)],
      )
      for line in panel.lines
    ],
    dots,
  )
