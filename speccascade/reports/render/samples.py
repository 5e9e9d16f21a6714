"""Draws pass@k against k, a line a method."""

from collections.abc import Mapping

import numpy as np
from matplotlib import figure, ticker

from speccascade.reports.render import escape, styles


def draw(
  curves: Mapping[str, Mapping[int, tuple[float, float]]],
) -> figure.Figure:
  """Draws how many examples have a right answer among k, in percent.

  Args:
    curves: {method: {k: (pass@k, its standard error)}}.
  """
  fig = figure.Figure(figsize=(6, 4), layout='constrained')
  ax = fig.subplots()
  colors = styles.dots(dict.fromkeys(curves))
  for name, own in curves.items():
    k = sorted(own)
    rate, error = (np.array([100 * own[x][i] for x in k]) for i in (0, 1))
    error = np.minimum(error, [rate, 100 - rate])  # No share is beyond.
    color = colors[name]['color']
    ax.errorbar(k, rate, error, marker='o', capsize=2, color=color,
                clip_on=False, label=escape.label(name))  # fmt: skip
  ax.set_xscale('log', base=2)
  ax.set_xticks(k, [str(x) for x in k])
  ax.xaxis.set_minor_locator(ticker.NullLocator())
  low, high = ax.get_ylim()
  ax.set_ylim(max(low, 0), min(max(high, 1), 100))
  ax.set_xlabel('k, answers to a prompt')
  ax.set_ylabel('pass@k, % of the examples')
  ax.spines[['top', 'right']].set_visible(False)
  ax.legend(frameon=False)
  return fig
