"""Speed and quality by the drafter's strength."""

import pytest

from speccascade.reports.sections import drafters


def _pair(make_record, pair, rejection, best, quality=0.9, **changes):
  own = dict(pair=pair, **changes)
  return [
    make_record('verifier_alone', quality=0.9, **own),
    make_record('drafter_alone', quality=0.4, **own),
    make_record('strict', None, 3, 0.9, 0.8, rejection_rate=rejection, **own),
    make_record('strict', None, 5, 0.9, 0.7, rejection_rate=rejection, **own),
    make_record('opt', 0.1, 3, quality, best, **own),
    make_record('opt', 0.9, 3, 0.3, 0.1, **own),
  ]


def test_pairs_stand_by_their_acceptance(make_record):
  records = [
    *_pair(make_record, 'strong', 0.1, 0.4),
    *_pair(make_record, 'weak+strong', 0.4, 0.6, quality=0.7),
    *_pair(make_record, 'middle+strong', 0.2, 0.5),
  ]
  table, figure = drafters.section(records).body
  assert [row[0] for row in table.rows] == [
    f'{name}, word_problems'
    for name in ('weak+strong', 'middle+strong', 'strong')
  ]
  assert table.rows[0][2:] == [
    '0.600', '0.400', '0.900', '1.43×', 'none', *'––––',
  ]  # fmt: skip
  assert table.rows[2][2:] == [
    '0.900', '0.400', '0.900', '1.43×', 'opt', 'α 0.1', '2.50×', '1.75×',
    '1.000',
  ]  # fmt: skip
  ((row),) = figure.chart.rows
  speed, length = row.panels
  strict, best = speed.lines
  assert [p.x for p in strict.points] == pytest.approx([0.6, 0.8, 0.9])
  assert [p.y for p in strict.points] == pytest.approx([1 / 0.7] * 3)
  # The weak pair has no other method at the verifier's quality.
  assert [p.y for p in best.points] == pytest.approx([2, 2.5])
  assert [p.y for p in length.lines[0].points] == [1, 1]
  assert 'opt: 2.500' in best.points[1].told
  figure.draw()


def test_no_line_joins_drafters_of_two_verifiers(make_record):
  records = [
    *_pair(make_record, 'own', 0.1, 0.4),
    *_pair(make_record, 'weak+own', 0.4, 0.6),
    *_pair(make_record, 'a+b', 0.2, 0.5, task='gsm8k'),
    *_pair(make_record, 'a+c', 0.3, 0.5, task='gsm8k', quality=0.7),
  ]
  _, figure = drafters.section(records).body
  speed, length = figure.chart.rows[0].panels
  assert {
    line.label: [round(p.x, 2) for p in line.points] for line in speed.lines
  } == {
    'strict': [0.6, 0.9],
    'best other': [0.6, 0.9],
    'strict, gsm8k of b': [0.8],
    'best other, gsm8k of b': [0.8],
    'strict, gsm8k of c': [0.7],
  }
  assert [line.label for line in length.lines] == [
    'best other', 'best other, gsm8k of b',
  ]  # fmt: skip
  of_task = [record for record in records if record['pair'] != 'a+c']
  _, figure = drafters.section(of_task).body
  labels = [line.label for line in figure.chart.rows[0].panels[0].lines]
  assert labels[2:] == ['strict, gsm8k', 'best other, gsm8k']


def test_each_sampling_has_a_row(make_record):
  records = [
    record
    for t in (0.0, 1.0)
    for pair, rejection in (('a', 0.2), ('b+a', 0.3))
    for record in _pair(make_record, pair, rejection, 0.5, temperature=t)
  ]
  table, figure = drafters.section(records).body
  assert [row[1] for row in table.rows] == [
    *['temperature 0'] * 2,
    *['temperature 1'] * 2,
  ]
  assert [row.title for row in figure.chart.rows] == [
    'temperature 0',
    'temperature 1',
  ]


def test_a_single_pair_has_no_section(make_record, sweep):
  assert drafters.section(sweep) is None
  assert drafters.section(_pair(make_record, 'a', 0.1, 0.5)) is None
