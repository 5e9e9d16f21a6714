"""One colour for each method and one marker for each plan, in every figure."""

from collections.abc import Iterable, Iterator

from speccascade.reports.stats import points

# Paul Tol's "muted" scheme, distinct for colour-blind readers, and a grey.
COLORS = (
  '#332288',
  '#CC6677',
  '#117733',
  '#88CCEE',
  '#DDAA33',
  '#AA4499',
  '#44AA99',
  '#882255',
  '#999933',
  '#888888',
)
MARKERS = 'os^DvPX<>p'
_FILLS = ('full', 'none', 'left', 'top')


def drawn(records: list[dict]) -> list[str]:
  """Returns the methods of records, the models alone left out."""
  return [m for m in points.by_method(records) if m not in points.MODELS]


def lines(names: Iterable[str]) -> dict[str, dict]:
  """Gives each name a line of its own colour and marker; strict is black.

  Returns:
    {name: keywords of a plotted line}. Past the last colour they begin again,
    with other markers.
  """
  styles = {}
  for name, i, turn in _turns(names):
    marker = MARKERS[(i + 3 * turn) % len(MARKERS)]
    look = dict(color=COLORS[i], marker=marker, markersize=4.5)
    if name == points.STRICT:
      look = dict(color='black', marker='*', markersize=12, zorder=4)
    styles[name] = look | dict(linewidth=1.2)
  return styles


def dots(names: Iterable[str]) -> dict[str, dict]:
  """Gives each name the colour that `lines` does, for dots of any marker.

  Returns:
    {name: keywords of a plotted dot}. Past the last colour they begin again,
    as rings, then as half dots.
  """
  styles = {}
  for name, i, turn in _turns(names):
    styles[name] = dict(color=COLORS[i], fillstyle=_FILLS[turn % len(_FILLS)])
    if name == points.STRICT:
      styles[name] = dict(color='black', fillstyle='full')
  return styles


def plan_markers(records: list[dict]) -> dict[str | None, str]:
  """Gives each draft plan a marker, and '*' to records without one."""
  markers = {
    plan: MARKERS[i % len(MARKERS)]
    for i, plan in enumerate(points.plans(records))
  }
  if any(record['gamma'] is None for record in records):
    markers[None] = '*'
  return markers


def _turns(names: Iterable[str]) -> Iterator[tuple[str, int, int]]:
  """Yields each name, its colour and how often all colours were used before."""
  i = 0
  for name in names:
    yield name, i % len(COLORS), i // len(COLORS)
    i += name != points.STRICT
