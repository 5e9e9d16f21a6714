"""Draws a study of tokens: rejections by token class, draft and answer."""

from matplotlib import figure, lines, ticker

from speccascade.reports.render import styles as styles_lib
from speccascade.reports.stats import points

TENTHS = 10  # Of an answer.


def label(row: dict) -> str:
  """Returns a row's method and parameters: 'strict', 'token_v3 α 0.5'."""
  parameters = points.parameters_text(row['parameters'])
  return ' '.join(filter(None, (row['method'], parameters)))


def draw(rows: list[dict], title: str) -> figure.Figure:
  """Draws a row of three panels for each temperature.

  Args:
    rows: what `studies.tokens.summary.rows` returned.
    title: what was studied.
  """
  temperatures = list(dict.fromkeys(r['temperature'] for r in rows))
  named = dict.fromkeys(label(r) for r in rows if r['table'] == 'overall')
  styles = styles_lib.lines(named)
  fig = figure.Figure(
    figsize=(14, 0.9 + 3.6 * len(temperatures)), layout='constrained'
  )
  axes = fig.subplots(len(temperatures), 3, squeeze=False)
  for panels, temperature in zip(axes, temperatures, strict=True):
    group = [r for r in rows if r['temperature'] == temperature]
    _classes(panels[0], group, styles)
    _drafts(panels[1], group, styles)
    _answers(panels[2], group, styles)
    panels[0].set_title(f'temperature {temperature:g}', loc='left')
    for ax in panels:
      ax.grid(color='0.93')
      ax.set_axisbelow(True)
      ax.spines[['top', 'right']].set_visible(False)
  handles = [lines.Line2D([], [], label=k, **s) for k, s in styles.items()]
  fig.legend(handles=handles, loc='outside right center', frameon=False)
  fig.suptitle(title, fontsize='large')
  return fig


def _classes(ax, rows, styles):
  """Mean D_TV(pi, q) of each class, a mark a method."""
  rows = [r for r in rows if r['table'] == 'class']
  names = list(dict.fromkeys(r['class'] for r in rows))
  shift = _spread(len(styles), 0.6)
  for (name, style), dy in zip(styles.items(), shift, strict=True):
    own = [r for r in rows if label(r) == name]
    ax.plot(
      [r['divergence'] for r in own],
      [names.index(r['class']) + dy for r in own],
      **{**style, 'linestyle': 'none'},
    )
  strict = [r for r in rows if r['method'] == points.STRICT]
  shares = {r['class']: r['share'] for r in strict}
  ax.set_yticks(
    range(len(names)),
    [f'{n}\n{shares[n]:.0%} of tokens' if n in shares else n for n in names],
  )
  ax.invert_yaxis()
  widest = max(r['divergence'] for r in rows)
  ax.set_xlim(-0.03 * widest, 1.06 * widest or 1)
  ax.xaxis.set_major_locator(ticker.MaxNLocator(5))
  ax.set_xlabel('mean D_TV(π, q): probability of a rejection')


def _drafts(ax, rows, styles):
  """Acceptance at each position of a draft, and dashed its mean."""
  rows = [r for r in rows if r['table'] == 'draft']
  shift = _spread(len(styles), 0.3)
  for (name, style), dx in zip(styles.items(), shift, strict=True):
    own = [r for r in rows if label(r) == name]
    if not own:
      continue
    _line(ax, own, 'position', 'accepted', style, dx)
    ax.axhline(
      own[0]['independent'], color=style['color'], linestyle='--', linewidth=0.8
    )
  ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  ax.set_xlabel(f'position in the draft, γ = {rows[0]["gamma"]}')
  ax.set_ylabel('accepted, of those reached\n(dashed: the mean)')


def _answers(ax, rows, styles):
  """Rejection rate in each tenth of an answer."""
  rows = [r for r in rows if r['table'] == 'answer']
  shift = _spread(len(styles), 0.3)
  for (name, style), dx in zip(styles.items(), shift, strict=True):
    own = [r for r in rows if label(r) == name]
    if own:
      _line(ax, own, 'decile', 'rejected', style, dx)
  ax.set_ylim(bottom=0)
  ax.set_xticks(range(1, TENTHS + 1))
  ax.set_xlabel('tenth of the answer')
  ax.set_ylabel('rejected')


def _line(ax, rows, x, y, style, dx):
  ax.errorbar(
    [r[x] + dx for r in rows],
    [r[y] for r in rows],
    [r[f'{y}_stderr'] or 0 for r in rows],
    elinewidth=0.6,
    **style,
  )


def _spread(number, width):
  """Offsets that separate the marks of several methods."""
  return [width * ((i + 0.5) / number - 0.5) for i in range(number)]
