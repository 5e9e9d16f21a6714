"""Tests of the section on expected rejections and predicted latency."""

from speccascade.reports.sections import calibration
from tests.reports import synthetic

_point = synthetic.point


def test_accuracy():
  records = [
    synthetic.record('verifier_alone'),
    # The first text under another plan.
    _point('a', 0.1, 0.6, 5, divergence=90.0, predicted_seconds=1.2),
    # Expected over measured: 0.9, 1.2, 1, and one that measured none.
    _point('a', 0.1, 0.5, divergence=90.0, predicted_seconds=0.9),
    _point('b', 0.2, 0.4, divergence=240.0, predicted_seconds=0.8),
    _point('c', 0.3, 0.8, divergence=210.0, predicted_seconds=1.28),
    _point('d', 0.0, 0.2, divergence=0.0, predicted_seconds=0.4),
    _point('a', 0.1, 0.5, temperature=1.0),
    _point('a', 0.5, 0.5, task='translation'),
  ]
  table = calibration.accuracy(records)
  assert table.rows == [
    # Rejections: covariance of (90, 240, 210, 0) and (100, 200, 300, 0) is
    # 39000 / 3, variances 36900 / 3 and 50000 / 3; errors 10, 20 and 30%.
    # Latency: of (.6, .45, .4, .64, .2) and (.6, .5, .4, .8, .2) it is .152
    # / 4, variances .12328 / 4 and .2 / 4; errors 0, 10, 0, 20 and 0%.
    ['word_problems', 'word_problems', 'temperature 0']
    + ['4', '0.908', '20.0%', '5', '0.968', '6.0%'],
    ['word_problems', 'word_problems', 'temperature 1']
    + ['1', '–', '0.0%', '1', '–', '0.0%'],
    ['word_problems', 'translation', 'temperature 0']
    + ['1', '–', '0.0%', '1', '–', '0.0%'],
  ]
  assert table.columns[3:] == [
    *['texts', 'rejections: correlation', 'error'],
    *['points', 'latency: correlation', 'error'],
  ]


def test_traits_say_what_rejects_by_divergence():
  records = [
    _point('a', 0.1, 0.5),
    _point('b', 0.1, 0.4, divergence=900.0, divergence_rejects=False),
    _point('c', 0.1, 0.4, schedule='cost', predicted_seconds=None),
  ]
  ((*_, texts, _, error, counted, _, _),) = calibration.accuracy(records).rows
  assert (texts, error, counted) == ('2', '0.0%', '2')


def test_a_text_of_every_plan_counts_where_plans_change_it():
  shared = [_point('a', 0.1, 0.5, gamma) for gamma in (3, 5)]
  own = [_point('b', 0.1, 0.5, g, plan_changes_text=True) for g in (3, 5)]
  ((*_, texts, _, _, counted, _, _),) = calibration.accuracy(shared + own).rows
  assert (texts, counted) == ('3', '4')


def test_the_section_needs_a_prediction():
  alone = [
    synthetic.record('verifier_alone'),
    synthetic.record('drafter_alone'),
  ]
  assert calibration.section(alone) is None
  section = calibration.section([*alone, _point('a', 0.1, 0.5)])
  answer, figure, accuracy, rank = section.body
  assert answer.startswith('Too few points')
  assert figure.name == 'calibration.png'
  assert len(figure.draw().axes) == 2
  assert len(accuracy.rows) == len(rank.rows) == 1


def test_one_group_is_no_median():
  records = [_point(rule, 0.1 * i, 0.2 * i) for i, rule in enumerate('abc')]
  assert calibration.answer(records).endswith(
    'their rank correlation is 1.00; among points of one sampling under all '
    'plans it is 1.00.'
  )


def test_rank_correlation_within_plan_and_sampling():
  records = [
    synthetic.record('drafter_alone', latency=0.01),
    # Fewer rejections are faster under either plan, by order alone ...
    _point('a', 0.1, 0.2, gamma=3),
    _point('b', 0.2, 0.3, gamma=3),
    _point('c', 0.3, 0.9, gamma=3),
    # ... save that two of four swap here: 1 - 6 * 2 / (4 * 15).
    _point('a', 0.1, 0.5, gamma=5),
    _point('b', 0.2, 0.4, gamma=5),
    _point('c', 0.3, 0.6, gamma=5),
    _point('d', 0.4, 0.7, gamma=5),
    _point('a', 0.1, 0.5, gamma=5, temperature=1.0),
    _point('b', 0.2, 0.4, gamma=5, temperature=1.0),
  ]
  table = calibration.rank(records)
  assert table.columns == ['pair', 'task', 'sampling'] + [
    *['γ = 3', 'γ = 5', 'all plans']
  ]
  # Ranks of rejections 1.5 3.5 5.5 | 1.5 3.5 5.5 7 and of latencies 1 2 7 | 4 3
  # 5 6: covariance 21, variances 26.5 and 28 (times 6).
  assert table.rows == [
    ['word_problems', 'word_problems', 'temperature 0', '1.00', '0.80', '0.77'],
    ['word_problems', 'word_problems', 'temperature 1', '–', '–', '–'],
  ]
  assert calibration.answer(records) == (
    'Does the rejection rate predict latency? Among points of one draft plan '
    'and one sampling, their rank correlation is 0.90 in the median of 2 such '
    'groups (0.80 to 1.00); among points of one sampling under all plans it is '
    '0.77.'
  )


def test_cells_do_not_mix():
  records = [
    _point(rule, rate, latency, task=task)
    for task, sign in (('x', 1), ('y', -1))
    for rule, rate, latency in (
      ('a', 0.1, 0.5 - 0.1 * sign),
      ('b', 0.2, 0.5),
      ('c', 0.3, 0.5 + 0.1 * sign),
    )
  ]
  rows = calibration.rank(records).rows
  assert [row[3:] for row in rows] == [['1.00', '1.00'], ['-1.00', '-1.00']]


def test_too_few_points_are_no_answer():
  records = [synthetic.record('verifier_alone')]
  records += [_point('strict', 0.1, latency) for latency in (0.5, 0.4)]
  assert calibration.answer(records).startswith('Too few points')
  assert calibration.answer([]).startswith('Too few points')
