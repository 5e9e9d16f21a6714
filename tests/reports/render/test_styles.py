"""Tests of the colours and markers of figures."""

from speccascade.reports.render import styles

_NAMES = ['strict', *(f'rule_{i}' for i in range(25))]


def _distinct(looks):
  return len({tuple(sorted(look.items())) for look in looks.values()})


def test_looks_differ_past_the_last_colour():
  assert _distinct(styles.lines(_NAMES)) == len(_NAMES)
  assert _distinct(styles.dots(_NAMES)) == len(_NAMES)


def test_a_rule_has_one_colour_in_lines_and_dots():
  for names in (_NAMES, _NAMES[::-1]):
    lines, dots = styles.lines(names), styles.dots(names)
    colors = {name: look['color'] for name, look in lines.items()}
    assert {name: look['color'] for name, look in dots.items()} == colors
    assert colors['strict'] == 'black'
    # Strict takes no other's place.
    others = [name for name in names if name != 'strict']
    assert [colors[name] for name in others[:10]] == list(styles.COLORS)


def test_the_models_alone_are_not_drawn(sweep):
  assert styles.drawn(sweep) == ['strict', 'token_v3', 'drafter', 'opt']
