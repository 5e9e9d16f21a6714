"""Draws tokens a second against how many devices share the work."""

from matplotlib import figure, ticker

from speccascade.reports.render import styles

_LABELS = {
  'model': 'devices that split the models',
  'data': 'devices that split the rows',
}


def draw(rows: list[dict]) -> figure.Figure:
  """Draws a panel for each axis of the mesh, the other being 1.

  A line joins the meshes of as many rows, where devices split the models, and
  of as many rows a device where they split those; dashed is what it would be
  if devices added up.

  Args:
    rows: of `studies.meshes`, those that tell of an iteration.
  """
  fig = figure.Figure(figsize=(9, 4), layout='constrained')
  panels = fig.subplots(1, 2, sharey=True)
  for ax, (axis, label) in zip(panels, _LABELS.items(), strict=True):
    lines = {}
    for row in rows:
      data, model = row['mesh']
      if (model if axis == 'data' else data) == 1:
        share = row['batch'] / data if axis == 'data' else row['batch']
        at = data if axis == 'data' else model
        speed = row['batch'] * row['tokens'] / row['iteration'] * 1e3
        lines.setdefault((row['prompt'], share), {})[at] = speed
    colors = styles.dots(dict.fromkeys(lines))
    for (prompt, share), speeds in sorted(lines.items()):
      x, y = zip(*sorted(speeds.items()), strict=True)
      color = colors[prompt, share]['color']
      ax.plot(x, y, '-o', color=color)
      ax.plot(x, [y[0] * n / x[0] for n in x], '--', color=color, alpha=0.5)
      noun = 'row' if share == 1 else 'rows'
      each = ' a device' if axis == 'data' else ''
      ax.annotate(
        f'{share:g} {noun}{each}, S {prompt}', (x[-1], y[-1]), xytext=(4, 5),
        textcoords='offset points', fontsize='small', color=color,
      )  # fmt: skip
    ax.set_xlabel(label)
    ax.set_xscale('log', base=2)
    ax.set_yscale('log')
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter('{x:g}')
    ax.margins(x=0.25, y=0.12)
    ax.spines[['top', 'right']].set_visible(False)
    at = sorted({n for speeds in lines.values() for n in speeds})
    ax.set_xticks(at, [str(n) for n in at])
    ax.minorticks_off()
  panels[0].set_ylabel('tokens/s')
  return fig
