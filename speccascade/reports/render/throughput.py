"""Draws tokens a second against what an answer waits, a line a method."""

import math

from matplotlib import figure

from speccascade.reports.render import escape, labels, styles


def draw(rows: list[dict]) -> figure.Figure:
  """Draws two panels: of the time between tokens, and of that to the first.

  A line joins the numbers of slots of a method and plan at one rate; each is
  written beside its dot.

  Args:
    rows: of `studies.throughput`.
  """
  lines = {}
  for row in sorted(rows, key=lambda row: row['slots']):
    name = f'{row["method"]} {row["plan"]}'.strip()
    lines.setdefault((name, row['rate']), []).append(row)
  colors = styles.dots(dict.fromkeys(name for name, _ in lines))
  fig = figure.Figure(figsize=(9, 4), layout='constrained')
  panels = fig.subplots(1, 2, sharey=True)
  names = {
    'median_tpot_ms': 'median time per output token, ms',
    'median_ttft_ms': 'median time to first token, ms',
  }
  for ax, (of, label) in zip(panels, names.items(), strict=True):
    for (name, rate), own in lines.items():
      x, y = ([row[k] for row in own] for k in (of, 'output_throughput'))
      text = name if rate == 0 else f'{name}, {rate:g} requests/s'
      ax.plot(
        x, y, '-' if rate == 0 else '--', marker='o',
        color=colors[name]['color'], label=escape.label(text),
      )  # fmt: skip
    ax.set_xlabel(label)
    ax.margins(x=0.15, y=0.12)
    ax.set_xlim(left=0)
    ax.spines[['top', 'right']].set_visible(False)
  fig.legend(
    handles=panels[0].lines, loc='outside upper center', ncols=4,
    fontsize='small', frameon=False, title='a number beside a dot: slots',
    title_fontsize='small',
  )  # fmt: skip
  panels[0].set_ylabel('output tokens/s')
  fig.draw_without_rendering()
  fig.set_layout_engine('none')  # Labels have their places in this one.
  for ax, of in zip(panels, names, strict=True):
    _label(ax, of, lines, colors)
  return fig


def _label(ax, of, lines, colors):
  """Writes the number of slots beside each dot."""
  slots = [
    labels.Label(
      str(row['slots']),
      colors[name]['color'],
      [(row[of], row['output_throughput'])],
    )
    for (name, _), own in lines.items()
    for row in own
    if math.isfinite(row[of])
  ]
  labels.place(ax, slots, [label.anchors[0] for label in slots])
