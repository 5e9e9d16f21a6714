"""Tests of speccascade.reports.calibration."""

import math

import numpy as np
import pytest
import synthetic
from matplotlib import colors

from speccascade.reports import calibration

_point = synthetic.point


def _dots(ax):
  """Returns (x, y), error and look of each dot of a panel."""
  dots = []
  for container in ax.containers:
    line, _, (bars,) = container.lines
    for (x, y), ends in zip(
      line.get_xydata(), bars.get_segments(), strict=True
    ):
      y_error = np.ptp(ends[:, 1]) / 2 if len(ends) else math.nan
      dots.append((x, y, y_error, line))
  return dots


@pytest.fixture
def cells():
  """Two pairs, two plans; models alone and a baseline without a prediction."""
  unknown = dict(predicted_seconds=None)
  return [
    synthetic.record('verifier_alone'),
    synthetic.record('drafter_alone', latency=0.1),
    synthetic.record('token_cascade', 0.1, latency=0.9, **unknown),
    _point('strict', 0.1, 0.5, divergence=90.0),
    _point('strict', 0.1, 0.4, gamma=5, divergence=90.0),
    _point('opt', 0.05, 0.4, predicted_seconds=0.6),
    _point('opt', 0.0, 0.3, pair='other', task='translation'),
  ]


def test_dots_are_where_they_were_measured(cells):
  fig = calibration.draw(cells)
  assert [ax.get_title() for ax in fig.axes] == [
    *['word_problems, pair word_problems'] * 2,
    *['translation, pair other'] * 2,
  ]
  for left, right in (fig.axes[:2], fig.axes[2:]):
    assert left.get_xlabel().startswith('rejection rate, expected')
    assert right.get_xlabel().startswith('latency, predicted')
    assert left.get_ylabel() == 'rejection rate, measured'
    assert right.get_ylabel() == 'latency, measured'
  rejections, latencies, other, _ = map(_dots, fig.axes)
  # sqrt(0.1 * 0.9 / 1000), sqrt(0.05 * 0.95 / 1000)
  assert [dot[:3] for dot in rejections] == [
    pytest.approx((0.09, 0.1, 0.009487), abs=1e-6),
    pytest.approx((0.05, 0.05, 0.006892), abs=1e-6),
  ]
  # Two examples of a second each under the verifier: 0.6 s are 0.3.
  assert [dot[:3] for dot in latencies] == [
    pytest.approx((0.5, 0.5, 0)),
    pytest.approx((0.4, 0.4, 0)),
    pytest.approx((0.3, 0.4, 0)),
  ]
  assert [dot[:3] for dot in other] == [(0, 0, 0)]


def test_latency_is_averaged_over_trials():
  trials = dict(verifier_seconds=[2.0, 4.0], relative_latency=[0.5, 0.7])
  record = _point('opt', 0.1, 0.5, predicted_seconds=1.0, **trials)
  assert calibration.predicted_latency(record, []) == pytest.approx(0.375)
  ((x, y, error, _),) = _dots(calibration.draw([record]).axes[1])
  assert (x, y, error) == pytest.approx((0.375, 0.6, 0.1))


def test_one_trial_has_no_error_bar():
  record = _point('opt', 0.1, 0.5, relative_latency=[0.5])
  ((_, y, error, _),) = _dots(calibration.draw([record]).axes[1])
  assert y == 0.5
  assert math.isnan(error)


def test_rules_have_colours_and_plans_shapes(cells):
  fig = calibration.draw(cells)
  looks = [
    (colors.to_hex(line.get_color()), line.get_marker())
    for ax in fig.axes
    for *_, line in _dots(ax)
  ]
  strict, opt = '#000000', looks[1][0]
  assert opt not in (strict, '#888888')
  assert looks == [
    *[(strict, 'o'), (opt, 'o')],
    *[(strict, 'o'), (strict, 's'), (opt, 'o')],
    *[(opt, 'o'), (opt, 'o')],
  ]
  handles = {h.get_label(): h for h in fig.legends[0].legend_handles}
  assert list(handles) == ['strict', 'opt', 'γ = 3', 'γ = 5']
  assert colors.to_hex(handles['opt'].get_color()) == opt
  assert handles['γ = 5'].get_marker() == 's'


def test_many_rules_look_apart_and_as_with_fewer():
  records = [_point(f'rule_{i}', 0.1, 0.5) for i in range(25)]
  records.insert(3, _point('strict', 0.1, 0.5))

  def looks(records):
    return {
      h.get_label(): (colors.to_hex(h.get_color()), h.get_fillstyle())
      for h in calibration.draw(records).legends[0].legend_handles[:-1]
    }

  assert len(set(looks(records).values())) == len(records) == 26
  # A rule that has no prediction yet keeps its colour for later.
  without = [records[0] | {'predicted_seconds': None}, *records[1:]]
  assert looks(without).items() < looks(records).items()


def test_identity_line_and_limits(cells):
  for ax in calibration.draw(cells).axes:
    (line,) = [x for x in ax.lines if x.get_linestyle() == '-']
    low, high = ax.get_xlim()
    assert line.get_xydata().tolist() == [[low, low], [high, high]]
    assert ax.get_ylim() == (low, high)
    assert all(low < z < high for x, y, *_ in _dots(ax) for z in (x, y))


def test_nothing_is_clipped():
  records = [
    _point(f'some_long_rule_{i}', 0.1, 0.5, gamma)
    for i in range(17)
    for gamma in range(1, 7)
  ]
  fig = calibration.draw(records)
  fig.draw_without_rendering()
  legend = fig.legends[0].get_window_extent()
  assert fig.bbox.y0 <= legend.y0
  assert legend.y1 <= fig.bbox.y1
  assert legend.x1 <= fig.bbox.x1
  for ax in fig.axes:
    assert ax.get_tightbbox().x1 <= legend.x0


def test_wide_ticks_are_not_clipped():
  # Ticks of three digits in panels that a wide legend makes smaller.
  records = [
    _point(
      f'lossy_beta_half_{i}', highest * i / 16, 0.2 + highest * i / 5, task=task
    )
    for task, highest in (('x', 0.18), ('y', 0.045))
    for i in range(17)
  ]
  fig = calibration.draw(records)
  fig.draw_without_rendering()
  assert min(ax.get_tightbbox().x0 for ax in fig.axes) >= 0


def test_no_prediction_no_figure(cells):
  with pytest.raises(ValueError, match='no record predicts its latency'):
    calibration.draw(cells[:3])


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


def test_drift_since_costs_were_measured_cancels():
  # Costs were measured on a machine half as fast as when points were timed.
  slow = dict(predicted_seconds=4.0, temperature=1.0)
  records = [
    synthetic.record('verifier_alone', temperature=0.0),
    synthetic.record('verifier_alone', task='x', **slow),
    synthetic.record('verifier_alone', **slow),
    _point('opt', 0.1, 0.3, **slow | {'predicted_seconds': 1.2}),
  ]
  own = [records[0], *records[2:]]
  assert calibration.predicted_latency(own[-1], own) == pytest.approx(0.3)
  ((x, y, *_),) = _dots(calibration.draw(records).axes[1])
  assert (x, y) == pytest.approx((0.3, 0.3))
  assert calibration.accuracy(records).rows[0][-1] == '0.0%'
  # Without a prediction of the verifier: 1.2 s over the 2 s measured.
  own[1] |= {'predicted_seconds': None}
  assert calibration.predicted_latency(own[-1], own) == pytest.approx(0.6)


def test_what_does_not_reject_by_divergence_has_latency_alone():
  records = [
    _point('a', 0.1, 0.5),
    _point('bild_rollback', 0.1, 0.4, divergence=900.0),
  ]
  left, right = calibration.draw(records).axes
  assert len(_dots(left)) == 1
  assert len(_dots(right)) == 2
  ((*_, texts, _, error, counted, _, _),) = calibration.accuracy(records).rows
  assert (texts, error, counted) == ('1', '0.0%', '2')


def test_each_text_counts_once():
  same = [_point('a', 0.1, 0.5, gamma) for gamma in (3, 5, 9)]
  same[1] |= {'predicted_seconds': None}
  others = [
    _point('a', 0.2, 0.5) | {'alpha': 0.75},  # That of the others is 0.5.
    _point('b', 0.1, 0.5),
    _point('a', 0.1, 0.5, temperature=1.0),
    _point('a', 0.1, 0.5, task='x'),
  ]
  assert calibration.texts(same + others) == [same[0], *others]


def test_one_group_is_no_median():
  records = [_point(rule, 0.1 * i, 0.2 * i) for i, rule in enumerate('abc')]
  assert calibration.answer(records).endswith(
    'their rank correlation is 1.00; among points of one sampling under all '
    'plans it is 1.00.'
  )


def test_error_without_anything_measured():
  assert math.isnan(calibration.error([0.0, 0.1], [0.0, 0.0]))


def test_correlation():
  assert calibration.correlation([1, 2, 3], [6, 4, 2]) == pytest.approx(-1)
  assert calibration.correlation([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0)
  assert math.isnan(calibration.correlation([1, 2], [1, 2]))
  assert math.isnan(calibration.correlation([1, 1, 1], [1, 2, 3]))
  assert math.isnan(calibration.correlation([1, 2, 3], [1, 1, 1]))


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
    'Does the rejection rate tell latency? Among points of one plan of drafts '
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


def test_too_few_points_are_no_answer(cells):
  assert calibration.answer(cells).startswith('Too few points')
  assert calibration.answer([]).startswith('Too few points')
