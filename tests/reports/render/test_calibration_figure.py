"""Tests of the figure of expected rejections and predicted latency."""

import math

import numpy as np
import pytest
from matplotlib import colors

from speccascade.reports.render import calibration
from speccascade.reports.stats import calibration as numbers
from tests.reports import synthetic

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
    _point(
      'strict', 0.1, 0.5, divergence=90.0, example_rejected=[80, 20], family='a'
    ),
    _point('strict', 0.1, 0.4, gamma=5, divergence=90.0, family='a'),
    _point('opt', 0.05, 0.4, predicted_seconds=0.6, family='b'),
    _point('opt', 0.0, 0.3, pair='other', task='translation', family='b'),
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
  # One example has 80 of 100 rejections, the other 20: a quarter of resamples
  # has the first twice, a quarter the second twice. Both have 500 tokens.
  cascade, (x, y, error, _), (*other_dot, other_error, _) = sorted(
    rejections, key=lambda dot: dot[:2], reverse=True
  )
  assert cascade[:2] == (0.1, 0.1)  # Of which no latency is predicted.
  assert (x, y) == pytest.approx((0.09, 0.1))
  assert error == pytest.approx(0.06 * 0.5**0.5, rel=0.1)
  assert other_dot == pytest.approx((0.05, 0.05))
  assert other_error == pytest.approx(0)
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
  assert numbers.predicted_latency(record, []) == pytest.approx(0.375)
  ((x, y, error, _),) = _dots(calibration.draw([record]).axes[1])
  assert (x, y, error) == pytest.approx((0.375, 0.6, 0.1))


def test_one_trial_has_no_error_bar():
  record = _point('opt', 0.1, 0.5, relative_latency=[0.5])
  ((_, y, error, _),) = _dots(calibration.draw([record]).axes[1])
  assert y == 0.5
  assert math.isnan(error)


def test_families_have_colours_and_plans_shapes(cells):
  fig = calibration.draw(cells)
  looks = [
    (colors.to_hex(line.get_color()), line.get_marker())
    for ax in fig.axes
    for *_, line in _dots(ax)
  ]
  c, a, b = (look[0] for look in looks[:3])
  assert len({a, b, c}) == 3
  assert looks == [
    *[(c, 'o'), (a, 'o'), (b, 'o')],
    *[(a, 'o'), (a, 's'), (b, 'o')],
    *[(b, 'o'), (b, 'o')],
  ]
  handles = {h.get_label(): h for h in fig.legends[0].legend_handles}
  assert list(handles) == ['a', 'b', 'methods', 'γ = 3', 'γ = 5']
  assert colors.to_hex(handles['b'].get_color()) == b
  assert handles['γ = 5'].get_marker() == 's'


def test_many_families_look_apart():
  records = [
    _point(f'rule_{i}', 0.1, 0.5, family=f'family_{i}') for i in range(25)
  ]
  handles = calibration.draw(records).legends[0].legend_handles[:-1]
  looks = {(colors.to_hex(h.get_color()), h.get_fillstyle()) for h in handles}
  assert len(looks) == len(handles) == 25


def test_identity_line_and_limits(cells):
  for ax in calibration.draw(cells).axes:
    (line,) = [x for x in ax.lines if x.get_linestyle() == '-']
    low, high = ax.get_xlim()
    assert line.get_xydata().tolist() == [[low, low], [high, high]]
    assert ax.get_ylim() == (low, high)
    assert all(low < z < high for x, y, *_ in _dots(ax) for z in (x, y))


def test_nothing_is_clipped():
  records = [
    _point(f'rule_{i}', 0.1, 0.5, gamma, family=f'some_long_family_{i}')
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


def test_methods_that_do_not_reject_by_divergence_have_latency_alone():
  records = [
    _point('a', 0.1, 0.5),
    _point('b', 0.1, 0.4, divergence=900.0, divergence_rejects=False),
  ]
  left, right = calibration.draw(records).axes
  assert len(_dots(left)) == 1
  assert len(_dots(right)) == 2
