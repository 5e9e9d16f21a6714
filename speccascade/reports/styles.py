"""One colour for each rule and one marker for each plan, in every figure."""

from speccascade.reports import points

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


def rule_colors(records: list[dict]) -> dict[str, dict]:
  """Gives each rule the colour of its dots; strict, the reference, is black.

  Returns:
    {rule: keywords of a plotted dot}, both models alone left out. Past the
    last colour they begin again, as rings instead of dots.
  """
  styles = {}
  for rule in points.by_rule(records):
    if rule in (points.VERIFIER, points.DRAFTER):
      continue
    i = len(styles.keys() - {'strict'})
    color = 'black' if rule == 'strict' else COLORS[i % len(COLORS)]
    ring = rule != 'strict' and i // len(COLORS) % 2
    styles[rule] = dict(color=color, markerfacecolor='none' if ring else color)
  return styles


def plan_markers(records: list[dict]) -> dict[str | None, str]:
  """Gives each plan of drafts a marker, and '*' where nothing is drafted."""
  markers = {
    plan: MARKERS[i % len(MARKERS)]
    for i, plan in enumerate(points.plans(records))
  }
  if any(record['gamma'] is None for record in records):
    markers[None] = '*'
  return markers
