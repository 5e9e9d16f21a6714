"""Tests of the figures of quality."""

import pytest
from matplotlib import colors

from speccascade.reports.render import figures


def _lines(ax):
  """Returns the data line of each curve drawn in a panel."""
  return {c.get_label(): c.lines[0] for c in ax.containers}


def _dotted(ax):
  return sorted(
    line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ':'
  )


def test_latency_has_a_panel_for_each_sampling_and_gamma(sweep):
  fig = figures.quality_latency(sweep)
  assert [ax.get_title() for ax in fig.axes] == [
    f'temperature {t}, γ = {gamma}' for t in (0, 1) for gamma in (1, 5)
  ]
  for ax in fig.axes:
    assert list(_lines(ax)) == ['strict', 'token_v3', 'drafter', 'opt']
    assert _dotted(ax) == [0.5, 0.9]
  assert 'relative to the verifier' in fig.axes[-1].get_xlabel()
  assert fig.axes[0].get_ylabel() == 'exact match'


def test_a_line_runs_through_the_alphas_in_order(sweep):
  fig = figures.quality_latency(sweep)
  line = _lines(fig.axes[0])['token_v3']  # recorded as 0.5, 0, 0.25
  assert line.get_xdata() == pytest.approx([0.8, 0.775, 0.75])
  assert line.get_ydata() == pytest.approx([0.9, 0.875, 0.85])
  at_gamma_5 = _lines(fig.axes[1])['token_v3']
  assert at_gamma_5.get_xdata()[0] == pytest.approx(0.8 / 5**0.5)


def test_error_bars_are_one_standard_error(sweep):
  panel = figures.quality_latency(sweep).axes[0]
  bars = panel.containers[1].lines[2][0].get_segments()
  assert bars[0][:, 1] == pytest.approx([0.88, 0.92])


def test_rejection_has_a_panel_for_each_sampling(sweep):
  fig = figures.quality_rejection(sweep)
  titles = [ax.get_title() for ax in fig.axes]
  assert titles == ['temperature 0, γ = 5', 'temperature 1, γ = 5']
  line = _lines(fig.axes[1])['opt']
  assert line.get_xdata() == pytest.approx([0.2, 0.15, 0.1])
  assert line.get_ydata() == pytest.approx([0.9, 0.85, 0.8])
  assert _dotted(fig.axes[1]) == [0.5, 0.9]
  assert 'rejection rate' in fig.axes[1].get_xlabel()


def test_a_method_looks_the_same_everywhere_and_like_no_other(make_record):
  rules = [f'rule_{i}' for i in range(10)]
  records = [
    make_record(rule, alpha, gamma, latency=0.5)
    for gamma in (1, 3)
    for rule in ['strict', *rules]
    for alpha in ([None] if rule == 'strict' else [0.1, 0.2])
  ]
  looks = set()
  for fig in (
    figures.quality_latency(records),
    figures.quality_rejection(records),
  ):
    handles = fig.legends[0].legend_handles
    assert [h.get_label() for h in handles] == ['strict', *rules]
    for lines in [*map(_lines, fig.axes), {h.get_label(): h for h in handles}]:
      looks |= {
        (rule, colors.to_hex(line.get_color()), line.get_marker())
        for rule, line in lines.items()
      }
  assert len(looks) == 11
  assert len({color for _, color, _ in looks}) == 11
  assert len({marker for _, _, marker in looks}) == 11
  assert ('strict', '#000000', '*') in looks


def test_a_line_for_each_of_the_later_parameters(make_record):
  records = [
    make_record(
      'two', {'alpha': alpha, 'beta': beta}, 5, alpha, 0.5 + alpha + beta / 100
    )
    for alpha, beta in [(0.2, 2), (0.1, 0.5), (0.1, 2), (0.2, 0.5)]
  ]
  fig = figures.quality_latency([*records, make_record('opt', 0.1, 5)])
  lines = _lines(fig.axes[0])
  names = ['two, β 0.5', 'two, β 2', 'opt']
  assert list(lines) == names
  for name, beta in (('two, β 0.5', 0.5), ('two, β 2', 2)):
    assert lines[name].get_ydata().tolist() == [0.1, 0.2]
    expected = [0.6 + beta / 100, 0.7 + beta / 100]
    assert lines[name].get_xdata() == pytest.approx(expected)
  handles = fig.legends[0].legend_handles
  assert [h.get_label() for h in handles] == names
  one, other, _ = handles
  assert one.get_color() == other.get_color()
  assert [h.get_linestyle() for h in handles] == ['-', '--', '-']


@pytest.mark.parametrize('plan_changes_text', [False, True])
def test_rejections_are_of_every_plan_that_has_a_text(
  make_record, plan_changes_text
):
  records = [
    make_record(
      'own',
      alpha,
      gamma,
      rejection_rate=gamma / 100 + alpha,
      plan_changes_text=plan_changes_text,
    )
    for gamma in (3, 5)
    for alpha in (0.2, 0.1)
  ]
  records += [make_record('opt', 0.1, g, rejection_rate=0.1) for g in (3, 5)]
  (ax,) = figures.quality_rejection(records).axes
  drawn = {
    name: [round(x, 2) for x in line.get_xdata()]
    for name, line in _lines(ax).items()
  }
  own = {'own': [0.15, 0.25]}
  if plan_changes_text:
    own = {'own, γ = 3': [0.13, 0.23], 'own, γ = 5': [0.15, 0.25]}
  assert drawn == own | {'opt': [0.1]}
  # Latencies have a panel a plan anyway.
  for ax in figures.quality_latency(records).axes:
    assert list(_lines(ax)) == ['own', 'opt']


def test_a_single_point_has_no_line_in_the_legend(sweep):
  handles = figures.quality_latency(sweep).legends[0].legend_handles
  styles = {h.get_label(): h.get_linestyle() for h in handles}
  assert styles['strict'] == styles['drafter'] == 'None'
  assert styles['opt'] == '-'


def test_the_models_are_named_beside_their_lines(sweep):
  fig = figures.quality_latency(sweep)
  named = [[text.get_text() for text in ax.texts] for ax in fig.axes]
  labels = ['verifier\n0.900', 'drafter\n0.500']
  assert named == [[], labels, [], labels]


def test_nothing_is_clipped(sweep):
  for fig in (
    figures.quality_latency(sweep),
    figures.quality_rejection(sweep),
    figures.quality_latency([r for r in sweep if r['gamma'] != 1]),
  ):
    fig.draw_without_rendering()
    legend = fig.legends[0].get_window_extent()
    for ax in fig.axes:
      tight = ax.get_tightbbox()
      assert fig.bbox.x0 <= tight.x0
      assert tight.x1 <= legend.x0
      assert legend.x1 <= fig.bbox.x1
    title = fig.texts[0].get_window_extent() if fig.texts else None
    assert title is None or title.width <= fig.bbox.width


def test_models_alone_can_be_drawn(make_record):
  records = [make_record('verifier_alone', quality=0.9)]
  for fig in (
    figures.quality_latency(records),
    figures.quality_rejection(records),
  ):
    assert _dotted(fig.axes[0]) == [0.9]
    assert fig.axes[0].get_title() == 'temperature 0'
