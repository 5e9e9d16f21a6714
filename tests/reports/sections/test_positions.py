"""Acceptance by position in the answer."""

from speccascade.reports.render import panels
from speccascade.reports.sections import positions


def _records(make_record):
  records = [make_record('verifier_alone', quality=0.9)]
  places = [[90, 100], [40, 50], [1, 1]]
  records += [
    make_record('strict', gamma=g, quality=0.9, latency=0.8 - g / 100,
                positions=places)
    for g in (3, 5)
  ]  # fmt: skip
  records += [
    make_record(f'rule_{i}', 0.1, 3, 0.9, 0.3 + i / 100, positions=places[:2])
    for i in range(8)
  ]
  records.append(make_record('old', 0.1, 3, 0.9, 0.1))  # Told no positions.
  return records


def test_strict_and_the_fastest_methods_are_shown(make_record):
  section = positions.section(_records(make_record))
  (figure,) = section.body
  ((row),) = figure.chart.rows
  (panel,) = row.panels
  assert panel.title == 'temperature 0'
  labels = [line.label for line in panel.lines]
  assert labels == ['strict', *(f'rule_{i} α 0.1' for i in range(5))]
  assert len(labels) == panels.MOST
  # One token in a hundred is too few to tell.
  points = panel.lines[0].points
  assert [(p.x, p.y) for p in points] == [(8, 0.9), (24, 0.8)]
  assert points[1].told == (
    'strict',
    'tokens 17 to 32 of the answers',
    "80.0% are the drafter's, of 50",
  )
  assert panel.view.y[0] < 0.8
  assert panel.view.y[1] > 0.9
  figure.draw()


def test_what_loses_quality_is_shown_where_nothing_else_is(make_record):
  records = _records(make_record)
  lost = [r | {'quality': 0.2, 'id': f'{r["id"]} lost', 'method': 'lost',
               'example_statistics': [[0, 1]] * 100}
          for r in records[3:4]]  # fmt: skip
  for own, want in (
    (records + lost, ['strict', *(f'rule_{i}' for i in range(5))]),
    (records[:3] + lost, ['strict', 'lost']),
  ):
    (figure,) = positions.section(own).body
    (panel,) = figure.chart.rows[0].panels
    assert [line.label.split()[0] for line in panel.lines] == want


def test_records_that_tell_no_positions_have_no_section(sweep):
  assert positions.section(sweep) is None
