"""Looks that differ, also to colour-blind readers."""

from collections.abc import Iterable

from speccascade.reports.stats import points

# Okabe and Ito's, but for the yellow, which white paper swallows; and a brown.
COLORS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#6B4226',
)
MARKERS = 'os^DvPX<>p'
_DASHES = ('-', '--', '-.', (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
_FILLS = ('full', 'none', 'left', 'top')


def lines(names: Iterable[str]) -> dict[str, dict]:
  """Gives each line of a panel its own colour, marker and dashes.

  Args:
    names: of lines; strict is black.

  Returns:
    {name: keywords of a plotted line}. Past the last colour they begin again,
    with other markers.
  """
  others = [name for name in names if name != points.STRICT]
  look = dict(color='black', marker='*', markersize=9, linewidth=1.2, zorder=4)
  found = {points.STRICT: look | dict(linestyle='-')}
  for i, name in enumerate(others):
    found[name] = dict(
      color=COLORS[i % len(COLORS)],
      marker=MARKERS[i % len(MARKERS)],
      linestyle=_DASHES[i % len(_DASHES)],
      markersize=4.5,
      linewidth=1.2,
    )
  return {name: found[name] for name in names}


def dots(names: Iterable[str]) -> dict[str, dict]:
  """Gives each name its own colour, for dots of any marker.

  Returns:
    {name: keywords of a plotted dot}. Past the last colour they begin again,
    as rings, then as half dots.
  """
  return {
    name: dict(
      color=COLORS[i % len(COLORS)],
      fillstyle=_FILLS[i // len(COLORS) % len(_FILLS)],
    )
    for i, name in enumerate(names)
  }


def plan_markers(records: list[dict]) -> dict[str | None, str]:
  """Gives each draft plan a marker, and '*' to records without one."""
  markers = {
    plan: MARKERS[i % len(MARKERS)]
    for i, plan in enumerate(points.plans(records))
  }
  if any(record['gamma'] is None for record in records):
    markers[None] = '*'
  return markers
