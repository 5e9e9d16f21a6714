"""Pictures of panels."""

import itertools

import numpy as np
import pytest
from matplotlib import colors, figure

from speccascade.reports.render import figures, labels, panels, styles


def _lines(ax):
  """Returns the data line of each curve drawn in a panel."""
  return {c.get_label(): c.lines[0] for c in ax.containers}


def _all_axes(fig):
  return [ax for part in fig.subfigs for ax in part.axes]


def _crowded(make_record):
  """Seven families of five methods each, whose points lie close together."""
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('drafter_alone', quality=0.3, latency=0.2),
    make_record('strict', gamma=3, quality=0.9, latency=0.6),
  ]
  for n, m in itertools.product(range(7), range(5)):
    records += [
      make_record(
        f'method_{n}_{m}',
        alpha,
        3,
        0.9 - 0.05 * alpha - 0.002 * m,
        0.6 - 0.1 * alpha + 0.003 * m,
        family=f'family {n}',
        rejection_rate=0.1 - 0.1 * alpha + 0.001 * m,
      )
      for alpha in (0.1, 0.5, 0.9)
    ]
  records.append(make_record('far', 0.1, 3, 0.1, 3.0, family='family 0'))
  return records


@pytest.fixture(scope='module')
def crowded(make_record):
  return _crowded(make_record)


@pytest.fixture(scope='module', params=[panels.latency, panels.rejection])
def drawn(request, crowded):
  chart = request.param(crowded)
  return chart, figures.draw(chart)


def test_a_picture_has_all_panels_and_all_points(drawn):
  chart, fig = drawn
  (row,) = chart.rows
  assert len(_all_axes(fig)) == len(row.panels) == 8  # One family has six.
  for ax, panel in zip(_all_axes(fig), row.panels, strict=True):
    assert ax.get_title() == panel.title
    lines = _lines(ax)
    assert list(lines) == [line.label for line in panel.lines]
    for line in panel.lines:
      x, y = lines[line.label].get_data()
      assert x.tolist() == [p.x for p in line.points]
      assert y.tolist() == [p.y for p in line.points]
    assert ax.get_xlim() == pytest.approx(panel.view.x)
    assert ax.get_ylim() == pytest.approx(panel.view.y)


def test_no_colour_marker_or_dashes_are_used_twice_in_a_panel(drawn):
  _, fig = drawn
  for ax in _all_axes(fig):
    lines = _lines(ax)
    looks = [
      (colors.to_hex(x.get_color()), x.get_marker()) for x in lines.values()
    ]
    assert len({color for color, _ in looks}) == len(looks) <= panels.MOST
    assert len({marker for _, marker in looks}) == len(looks)
    assert looks[0] == ('#000000', '*')


def test_each_line_is_named_in_its_colour_and_no_name_hides_another(drawn):
  _, fig = drawn
  for ax in _all_axes(fig):
    names = {t.get_text(): t for t in ax.texts}
    assert names.keys() == _lines(ax).keys()
    for name, line in _lines(ax).items():
      assert names[name].get_color() == line.get_color()
    _are_whole(ax.texts, fig)


def test_names_at_an_edge_are_whole():
  fig = figure.Figure(figsize=(3, 2), dpi=150)
  ax = fig.subplots()
  ax.set(xlim=(0, 1), ylim=(0, 1))
  edge = (0.95, 0.9)
  names = [labels.Label(f'some_name, β {i}', 'k', [edge]) for i in range(5)]
  labels.place(ax, names, [edge])
  _are_whole(ax.texts, fig)


def _are_whole(names, fig):
  """Asserts that no name is cut, nor hidden by the white around another."""
  boxes = [name.get_window_extent() for name in names]
  for box in boxes:
    assert fig.bbox.x0 <= box.x0 < box.x1 <= fig.bbox.x1
    assert fig.bbox.y0 <= box.y0 < box.y1 <= fig.bbox.y1
  points = fig.dpi / 72
  for one, other in itertools.combinations(boxes, 2):
    assert not one.overlaps(other.padded(2 * points))


def test_points_outside_are_counted_and_shown_at_the_border(drawn):
  chart, fig = drawn
  (row,) = chart.rows
  told = [ax.get_title(loc='right') for ax in _all_axes(fig)]
  number = [panels.outside(panel) for panel in row.panels]
  assert sum(number) >= 1
  assert told == [f'{n} outside' if n else '' for n in number]
  for ax, n in zip(_all_axes(fig), number, strict=True):
    hollow = [x for x in ax.lines if x.get_markerfacecolor() == 'none']
    assert len(hollow) == n


def test_the_verifier_and_the_frontier_are_in_every_panel(drawn):
  chart, fig = drawn
  for ax, panel in zip(_all_axes(fig), chart.rows[0].panels, strict=True):
    dotted = [x for x in ax.lines if x.get_linestyle() == ':' and
              x.get_label().startswith('_')]  # fmt: skip
    assert [x.get_ydata()[0] for x in dotted] == [panel.verifier]
    (steps,) = [x for x in ax.lines if x.get_drawstyle() == 'steps-post']
    x, y = steps.get_data()
    assert list(zip(x, y, strict=True))[:-1] == list(panel.frontier)


def test_samplings_stand_below_each_other(sweep):
  fig = figures.draw(panels.latency(sweep))
  titles = [part.get_suptitle() for part in fig.subfigs]
  assert titles == [
    f'temperature {t}: verifier 0.900, drafter 0.500' for t in (0, 1)
  ]


def test_nothing_is_clipped(sweep, crowded):
  for chart in (panels.latency(sweep), panels.rejection(crowded)):
    fig = figures.draw(chart)
    for ax in _all_axes(fig):
      tight = ax.get_tightbbox()
      assert fig.bbox.x0 <= tight.x0
      assert tight.x1 <= fig.bbox.x1
      assert fig.bbox.y0 <= tight.y0
      assert tight.y1 <= fig.bbox.y1


@pytest.mark.parametrize(
  ('number', 'columns'),
  [(1, 1), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3)],
)
def test_few_places_are_empty(number, columns):
  assert figures._columns(number) == columns


# What a deuteranope and a protanope see of linear red, green and blue.
# Source: Machado et al. 2009, table of severity 1.
_DEUTAN = [[0.367, 0.861, -0.228], [0.28, 0.673, 0.047], [-0.012, 0.043, 0.969]]
_PROTAN = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [0, -0.048, 1.052]]
_XYZ = np.array(
  [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def _lab(linear):
  """CIELAB of linear sRGB."""
  x, y, z = np.cbrt(_XYZ @ linear.clip(0, 1) / _XYZ.sum(1))
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('seen', [np.eye(3), _DEUTAN, _PROTAN])
def test_colours_of_a_panel_are_told_apart(seen):
  """2.3 is a difference that can just be seen."""
  shown = ['#000000', *styles.COLORS[: panels.MOST - 1]]
  labs, seen = [], np.array(seen)
  for color in shown:
    rgb = np.array(colors.to_rgb(color))
    labs.append(
      _lab(seen @ np.where(rgb > 0.04, ((rgb + 0.055) / 1.055) ** 2.4, 0))
    )
  for one, other in itertools.combinations(labs, 2):
    assert np.linalg.norm(one - other) > 10
