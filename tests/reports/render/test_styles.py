"""Tests of the colours and markers of figures."""

from speccascade.reports.render import panels, styles


def _distinct(looks):
  return len({tuple(sorted(look.items())) for look in looks.values()})


def test_lines_of_a_panel_share_nothing():
  names = ['strict', *(f'rule_{i}' for i in range(panels.MOST - 1))]
  looks = styles.lines(names)
  assert list(looks) == names
  assert looks['strict']['color'] == 'black'
  for field in ('color', 'marker'):
    assert len({look[field] for look in looks.values()}) == len(names)
  # Without strict there is room for one more.
  assert len(styles.lines([f'rule_{i}' for i in range(panels.MOST)])) == 6


def test_dots_differ_past_the_last_colour():
  names = [f'family_{i}' for i in range(25)]
  assert _distinct(styles.dots(names)) == len(names)
