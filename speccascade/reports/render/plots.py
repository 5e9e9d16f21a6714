"""Panels for a page: they tell values to who points at them.

The page holds the plotting library (plotly.js) and the data; nothing is
fetched. Its policy lets the scripts written here run and no other, which it
knows by their digests.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from plotly import offline

from speccascade.reports.render import escape, panels, styles

CLASS = (
  'plot'  # Of an element to draw in; `data-plot` is its place in the list.
)
_DATA = 'plots'  # Id of the list.
_MARKERS = {
  'o': 'circle', 's': 'square', '^': 'triangle-up', 'D': 'diamond', 'v':
  'triangle-down', 'P': 'cross', 'X': 'x', '*': 'star',
}  # fmt: skip
_DASHES = ('solid', 'dash', 'dashdot', 'dot', 'longdashdot', 'longdash')
_GREY = '#c4c4c4'

# Each is drawn when it comes into view: a report may have a hundred.
_DRAW = f"""\
const plots = JSON.parse(document.getElementById('{_DATA}').textContent);
const seen = new IntersectionObserver((entries) => {{
  for (const entry of entries) {{
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    const {{data, layout}} = plots[Number(entry.target.dataset.plot)];
    Plotly.newPlot(entry.target, data, layout,
                   {{responsive: true, displayModeBar: false}});
  }}
}}, {{rootMargin: '300px'}});
document.querySelectorAll('.{CLASS}').forEach((x) => seen.observe(x));
"""


def scripts(plots: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
  """Returns the scripts that draw plots, and their digests for the policy.

  Args:
    plots: of `of_chart`, in the order in which elements number them.

  Returns:
    (HTML for the end of a body, digests as 'sha256-...').
  """
  data = json.dumps(plots, allow_nan=False).replace('<', '\\u003c')
  sources = [offline.get_plotlyjs(), _DRAW]
  parts = [f'<script type="application/json" id="{_DATA}">{data}</script>']
  parts += [f'<script>{source}</script>' for source in sources]
  return '\n'.join(parts), [_digest(source) for source in sources]


def _digest(source):
  digest = hashlib.sha256(source.encode()).digest()
  return f'sha256-{base64.b64encode(digest).decode()}'


def of_chart(chart: panels.Chart) -> list[tuple[str, list[dict[str, Any]]]]:
  """Returns (title, a plot for each panel) of each row of a chart."""
  return [
    (row.title, [_plot(chart, panel) for panel in row.panels])
    for row in chart.rows
  ]


def _plot(chart, panel):
  """A panel as plotly's data and layout."""
  data = _frontier(panel)
  looks = styles.lines([line.label for line in panel.lines])
  for i, line in enumerate(panel.lines):
    data.append(_line(line, looks[line.label], _DASHES[i % len(_DASHES)]))
  title = panel.title
  if number := panels.outside(panel):
    title += f' ({number} outside; double-click to see all)'
  axis = {'gridcolor': '#eeeeee', 'zeroline': False, 'nticks': 6}
  return {
    'data': data,
    'layout': {
      'title': {'text': escape.html(title), 'font': {'size': 13}},
      'margin': {'l': 55, 'r': 10, 't': 34, 'b': 90},
      'height': 340,
      'font': {'size': 11},
      'hovermode': 'closest',
      'hoverlabel': {'align': 'left'},
      'legend': {'font': {'size': 10}, 'orientation': 'h', 'y': -0.27},
      'xaxis': axis | {'title': _small(chart.x_label), 'range': panel.view.x},
      'yaxis': axis | {'title': _small(chart.y_label), 'range': panel.view.y},
      'shapes': _verifier(panel),
    },
  }


def _small(text):
  return {'text': escape.html(text), 'font': {'size': 11}, 'standoff': 6}


def _line(line, look, dash):
  told = ['<br>'.join(map(escape.html, p.told)) for p in line.points]
  return {
    'type': 'scatter',
    'mode': 'lines+markers' if len(told) > 1 else 'markers',
    'name': escape.html(line.label),
    'x': [p.x for p in line.points],
    'y': [p.y for p in line.points],
    'error_y': {
      'array': [p.y_error for p in line.points],
      'thickness': 0.7,
      'width': 0,
    },
    'text': told,
    'hovertemplate': '%{text}<extra></extra>',
    'line': {'color': look['color'], 'dash': dash, 'width': 1.5},
    'marker': {
      'color': look['color'],
      'symbol': _MARKERS[look['marker']],
      'size': look['markersize'] + 3,
    },
  }


def _frontier(panel):
  """The steps that bound all methods."""
  if not panel.frontier:
    return []
  x, y = map(list, zip(*panel.frontier, strict=True))
  return [
    {
      'type': 'scatter',
      'mode': 'lines',
      'name': 'best of all methods',
      'x': [*x, max(panel.view.x[1], x[-1])],
      'y': [*y, y[-1]],
      'line': {'color': _GREY, 'shape': 'hv', 'width': 2},
      'hoverinfo': 'skip',
      'showlegend': False,
    }
  ]


def _verifier(panel):
  """The dotted line of the verifier's quality."""
  if panel.verifier is None:
    return []
  line = {'color': '#666666', 'dash': 'dot', 'width': 1}
  where = {'xref': 'paper', 'x0': 0, 'x1': 1}
  y = panel.verifier
  return [{'type': 'line', **where, 'y0': y, 'y1': y, 'line': line}]
