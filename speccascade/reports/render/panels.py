"""What the figures of quality show: a panel for each family of methods.

A panel has a line for each method of the family, strict beside them, and the
Pareto frontier of all methods. Data alone: `figures` and `plots` draw it.
"""

import collections
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speccascade.reports.stats import points
from speccascade.tasks import metrics

MOST = 6  # Lines of a panel, strict among them: as many as can be told apart.
_NORMAL = 1.96  # Standard errors of a 95 % interval.
# A view holds this share of the points, by their distance from the middle, and
# what is not much further.
_SHARE = 0.8
_FURTHER = 1.5
_LEAST = 0.05  # Of the middle's value, that a view holds on either side.


class Point(NamedTuple):
  """A record in a panel.

  Attributes:
    x: latency or rejection rate.
    y: quality.
    y_error: half of its 95 % interval.
    told: its name and values, a line each.
  """

  x: float
  y: float
  y_error: float
  told: tuple[str, ...]


class Line(NamedTuple):
  """A method's points through the values of its first parameter.

  Attributes:
    label: the method, with what else tells the line from others of it.
    points: in the order of the parameter.
  """

  label: str
  points: tuple[Point, ...]


class View(NamedTuple):
  """What of the axes is shown, (low, high) each."""

  x: tuple[float, float]
  y: tuple[float, float]


class Panel(NamedTuple):
  """A family of methods under one sampling.

  Attributes:
    title: the family's name.
    lines: strict first, where it was measured; at most MOST.
    frontier: corners, from left to right: no point of any method is better in
      x and y.
    verifier: its quality; None if it is not known.
    view: of all panels of the sampling.
  """

  title: str
  lines: tuple[Line, ...]
  frontier: tuple[tuple[float, float], ...]
  verifier: float | None
  view: View


class Row(NamedTuple):
  """The panels of one sampling, with words on the sampling and the models."""

  title: str
  panels: tuple[Panel, ...]


class Chart(NamedTuple):
  """A figure.

  Attributes:
    title: of it.
    x_label: of all panels.
    y_label: likewise.
    rows: one a sampling.
    x_mark: where a line stands that x compares with; None for none.
  """

  title: str
  x_label: str
  y_label: str
  rows: tuple[Row, ...]
  x_mark: float | None = None


def latency(records: list[dict]) -> Chart:
  """Quality against latency: each point under its fastest draft plan.

  Args:
    records: of one pair and task.
  """
  label = 'latency relative to the verifier alone, batch 1'
  chart = _chart(records, label, _fastest, points.relative_latency, _models)
  return chart._replace(x_mark=1.0)


def rejection(records: list[dict]) -> Chart:
  """Quality against rejection rate: a point for each text.

  Args:
    records: of one pair and task.
  """
  label = 'rejection rate (share of emitted tokens)'
  # A model alone rejects nothing: it has no place here.
  return _chart(
    records, label, _texts, lambda r: r['rejection_rate'], lambda _: []
  )


def _chart(records, x_label, select, x, alone):
  """A row of panels for each sampling.

  Args:
    records: of one pair and task.
    x_label: of x.
    select: returns those of a sampling's records that are drawn.
    x: a function of a record.
    alone: returns the records of models alone that have an x.
  """
  rows = []
  for sampling, group in points.by_sampling(records).items():
    models = _models(group)
    drawn = [r for r in select(group) if r['method'] not in points.MODELS]
    rows.append(
      Row(_words(sampling, models), _panels(drawn, models, x, alone(group)))
    )
  metric = records[0]['metric'].replace('_', ' ')
  return Chart(title(records), x_label, metric, tuple(rows))


def title(records: list[dict]) -> str:
  """Returns what records of one pair and task were measured on."""
  first = records[0]
  task, pair = first['task'], first['pair']
  return f'{task}: {first["num_examples"]} examples, pair {pair}'


def _texts(group):
  return list({points.text(r): r for r in group}.values())


def _fastest(group):
  """Of the records of each text the one with the least latency."""
  slowest_first = sorted(group, key=points.relative_latency, reverse=True)
  fastest = {points.text(r): r for r in slowest_first}
  return [r for r in group if fastest[points.text(r)] is r]


def _models(group):
  return [r for r in group if r['method'] in points.MODELS]


def _panels(drawn, models, x, alone):
  """A panel for each family, or for each part of a large one."""
  made = {id(r): _point(r, x(r)) for r in drawn}
  corners = [(p.x, p.y) for p in made.values()]
  best = _frontier([*corners, *((x(r), r['quality']) for r in alone)])
  verifier = next(
    (r['quality'] for r in models if r['method'] == points.VERIFIER), None
  )
  beside, families = [], collections.defaultdict(list)
  for record in drawn:
    if record['method'] == points.STRICT:
      beside.append(record)
    else:
      families[points.family(record)].append(record)
  view = _view(list(made.values()), [made[id(r)] for r in beside], verifier)
  beside, found = _lines(beside, made), []
  for family, own in families.items() or [(points.STRICT, [])]:
    parts = _parts(_lines(own, made), MOST - len(beside))
    for i, part in enumerate(parts, start=1):
      title = family if len(parts) == 1 else f'{family} ({i} of {len(parts)})'
      found.append(Panel(title, (*beside, *part), best, verifier, view))
  return tuple(found)


def _words(sampling, models):
  """'temperature 0: verifier 0.592, drafter 0.278'."""
  told = [
    f'{r["method"].removesuffix("_alone")} '
    f'{metrics.get(r["metric"]).text(r["quality"])}'
    for r in models
  ]
  return ': '.join(filter(None, [str(sampling), ', '.join(told)]))


def _lines(records, made):
  """Lines of records, in the order in which their methods appear."""
  own = collections.defaultdict(list)
  for record in sorted(records, key=lambda r: points.values(r)[1:]):
    own[record['method'], _tail(record)].append(record)
  order = {r['method']: i for i, r in reversed([*enumerate(records)])}
  return [
    Line(
      ', '.join(filter(None, key)),
      tuple(made[id(r)] for r in sorted(own[key], key=points.values)),
    )
    for key in sorted(own, key=lambda key: order[key[0]])
  ]


def _tail(record):
  """Later parameters, and the plan where the text depends on it."""
  later = dict(list(record['parameters'].items())[1:])
  parts = [points.parameters_text(later)]
  if record['traits']['plan_changes_text'] and record['gamma'] is not None:
    parts.append(f'γ {points.plan(record)}')
  return ', '.join(filter(None, parts))


def _parts(lines, most):
  """Lines in as few parts of nearly equal size as may be."""
  number = max(1, -(-len(lines) // most))
  size = -(-len(lines) // number)
  starts = range(0, len(lines), size or 1)
  return [tuple(lines[i : i + size]) for i in starts] or [()]


def _point(record, x):
  text = metrics.get(record['metric']).text
  plan = points.plan(record)
  y_error = _NORMAL * record['quality_stderr']
  told = (
    ', '.join(filter(None, (record['method'], points.parameters(record))))
    + (f', γ = {plan}' if plan else ''),
    f'quality {text(record["quality"])} ± {text(y_error)}',
    f'latency {points.relative_latency(record):.3f} '
    f'(speed-up {points.speedup(record):.2f}×)',
    f'rejection rate {record["rejection_rate"]:.4f}',
    f'acceptance length {record["block_efficiency"]:.2f}',
    f'{record["output_length"]:.1f} tokens an answer',
  )
  return Point(x, record['quality'], y_error, told)


def _frontier(found: Iterable[tuple[float, float]]):
  """The (x, y) that no other has less x and more y than."""
  corners, best = [], -math.inf
  for x, y in sorted(found, key=lambda p: (p[0], -p[1])):
    if y > best:
      corners.append((x, y))
      best = y
  return tuple(corners)


def _view(made, strict, quality):
  """Where most points are; strict and the verifier's quality are in view."""
  if not made:
    return View((0.0, 1.0), _widened([quality or 0.0]))
  around = (strict or made)[0]
  level = around.y if quality is None else quality
  x = _near([p.x for p in made], around.x)
  y = _near([p.y for p in made], level)
  shown = [p for p in made if _is_in(View(x, y), p)] or [around]
  return View(
    _widened([p.x for p in (*shown, *strict)]),
    _widened([level, *(p.y for p in (*shown, *strict))]),
  )


def _near(values: Sequence[float], middle: float) -> tuple[float, float]:
  """The range around a value that holds most others."""
  ordered = sorted(abs(x - middle) for x in values)
  reach = _FURTHER * ordered[math.ceil(_SHARE * len(ordered)) - 1]
  reach = max(reach, _LEAST * abs(middle))
  return middle - reach, middle + reach


def around(shown: Iterable[Point]) -> View:
  """Returns a view of all points."""
  x, y = zip(*((p.x, p.y) for p in shown), strict=True)
  return View(_widened(x), _widened(y))


def _widened(values):
  low, high = min(values), max(values)
  margin = 0.08 * (high - low) or 0.02 * (abs(high) or 1)
  return low - margin, high + margin


def outside(panel: Panel) -> int:
  """Returns how many points of a panel its view leaves out."""
  return sum(
    not _is_in(panel.view, point)
    for line in panel.lines
    for point in line.points
  )


def _is_in(view, point):
  (left, right), (low, high) = view
  return left <= point.x <= right and low <= point.y <= high


def on_border(view: View, point: Point) -> tuple[float, float] | None:
  """Returns where on the border a point is told that a view leaves out."""
  if _is_in(view, point):
    return None
  (left, right), (low, high) = view
  return min(max(point.x, left), right), min(max(point.y, low), high)
