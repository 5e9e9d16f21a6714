"""What the figures of quality show."""

import itertools
import math

import pytest

from speccascade.reports.render import panels

_FAMILIES = {
  'confidence': ('drafter', 'chow', 'diff', 'opt'),
  'token': ('token_v1', 'token_v2', 'token_v3', 'typical', 'bild'),
  'lossy': ('lossy', 'lossy_beta'),
  'divergence': ('fsd_js', 'fsd_kl_qp', 'fsd_kl_pq', 'fsd_tv'),
  'ensemble': ('mixture', 'contrastive'),
  'truncation': ('top_p', 'top_k', 'min_p'),
  'cascades': ('sequence_mean', 'sequence_min', 'token_cascade', 'rollback',
               'sequence_q10', 'sequence_median'),
}  # fmt: skip


@pytest.fixture(scope='module')
def many(make_record):
  """Every method at two values and two plans, in no order of families."""
  methods = [(m, family) for family, own in _FAMILIES.items() for m in own]
  records = [make_record('verifier_alone', quality=0.9, family='models')]
  records.append(
    make_record(
      'strict', gamma=3, latency=0.6, quality=0.9, family='confidence'
    )
  )
  for n, (method, family) in enumerate(methods[::-1]):
    records += [
      make_record(method, alpha, gamma, 0.9 - 0.01 * n - 0.1 * alpha,
                  0.5 + 0.01 * n + gamma / 100, family=family)
      for gamma in (5, 3)
      for alpha in (0.4, 0.2)
    ]  # fmt: skip
  return records


@pytest.mark.parametrize('chart', [panels.latency, panels.rejection])
def test_each_method_has_one_line_in_a_panel_of_its_family(many, chart):
  (row,) = chart(many).rows
  named = [line.label for panel in row.panels for line in panel.lines[1:]]
  assert sorted(named) == sorted(m for own in _FAMILIES.values() for m in own)
  for panel in row.panels:
    assert panel.lines[0].label == 'strict'
    assert len(panel.lines) <= panels.MOST
    family = panel.title.partition(' (')[0]
    assert {x.label for x in panel.lines[1:]} <= set(_FAMILIES[family])
  titles = [panel.title for panel in row.panels]
  assert titles[0] == 'cascades (1 of 2)'
  assert titles[1] == 'cascades (2 of 2)'
  assert len({panel.view for panel in row.panels}) == 1


def test_latency_is_that_of_the_fastest_plan(sweep):
  chart = panels.latency(sweep)
  assert [row.title for row in chart.rows] == [
    f'temperature {t}: verifier 0.900, drafter 0.500' for t in (0, 1)
  ]
  assert chart.y_label == 'exact match'
  (panel,) = chart.rows[0].panels
  lines = {line.label: line.points for line in panel.lines}
  assert list(lines) == ['strict', 'token_v3', 'drafter', 'opt']
  # Recorded as 0.5, 0, 0.25; gamma 5 is the faster.
  xs = [point.x * 5**0.5 for point in lines['token_v3']]
  assert xs == pytest.approx([0.8, 0.775, 0.75])
  ys = [point.y for point in lines['token_v3']]
  assert ys == pytest.approx([0.9, 0.875, 0.85])
  assert 'γ = 5' in lines['token_v3'][0].told[0]


def test_errors_are_intervals_of_95_percent(sweep):
  (panel,) = panels.rejection(sweep).rows[0].panels
  assert panel.lines[0].points[0].y_error == pytest.approx(1.96 * 0.02)


def test_rejection_has_a_point_for_each_text(sweep):
  (panel,) = panels.rejection(sweep).rows[1].panels
  lines = {line.label: line.points for line in panel.lines}
  assert [p.x for p in lines['opt']] == pytest.approx([0.2, 0.15, 0.1])
  assert [p.y for p in lines['opt']] == pytest.approx([0.9, 0.85, 0.8])


def test_what_is_told_of_a_point_is_its_record_s(make_record):
  record = make_record(
    'opt', 0.25, 5, 0.75, 0.5, rejection_rate=0.125, block_efficiency=3.5
  )
  (panel,) = panels.latency([record]).rows[0].panels
  ((point,),) = [line.points for line in panel.lines]
  assert (point.x, point.y) == (0.5, 0.75)
  assert point.told == (
    'opt, α 0.25, γ = 5',
    'quality 0.750 ± 0.039',
    'latency 0.500 (speed-up 2.00×)',
    'rejection rate 0.1250',
    'acceptance length 3.50',
    '61.2 tokens an answer',
  )


def test_a_line_for_each_of_the_later_parameters(make_record):
  records = [
    make_record(
      'two', {'alpha': alpha, 'beta': beta}, 5, alpha, 0.5 + alpha + beta / 100
    )
    for alpha, beta in [(0.2, 2), (0.1, 0.5), (0.1, 2), (0.2, 0.5)]
  ]
  chart = panels.latency([*records, make_record('opt', 0.1, 5)])
  (panel,) = chart.rows[0].panels
  assert panel.title == 'methods'  # Of records that tell no family.
  lines = {line.label: line.points for line in panel.lines}
  assert list(lines) == ['two, β 0.5', 'two, β 2', 'opt']
  for name, beta in (('two, β 0.5', 0.5), ('two, β 2', 2)):
    assert [p.y for p in lines[name]] == [0.1, 0.2]
    expected = [0.6 + beta / 100, 0.7 + beta / 100]
    assert [p.x for p in lines[name]] == pytest.approx(expected)


@pytest.mark.parametrize('plan_changes_text', [False, True])
def test_a_line_for_each_plan_that_has_a_text(make_record, plan_changes_text):
  records = [
    make_record(
      'own',
      alpha,
      gamma,
      rejection_rate=0.05 + alpha + gamma / 100 * plan_changes_text,
      plan_changes_text=plan_changes_text,
    )
    for gamma in (3, 5)
    for alpha in (0.2, 0.1)
  ]
  for chart in (panels.rejection(records), panels.latency(records)):
    (panel,) = chart.rows[0].panels
    names = ['own, γ 3', 'own, γ 5'] if plan_changes_text else ['own']
    assert [line.label for line in panel.lines] == names
    assert [len(line.points) for line in panel.lines] == [2] * len(names)


def test_the_frontier_is_of_all_methods_and_models(make_record):
  made = [('verifier_alone', None, 0.9, 1.0), ('drafter_alone', None, 0.2, 0.3)]
  made += [('a', 3, 0.7, 0.5), ('b', 3, 0.8, 0.5), ('c', 3, 0.6, 0.6)]
  made += [('d', 3, 0.85, 0.8), ('strict', 3, 0.9, 0.9)]
  records = [
    make_record(m, 0.1 if gamma and m != 'strict' else None, gamma, y, x,
                family=m, rejection_rate=x / 2)
    for m, gamma, y, x in made
  ]  # fmt: skip
  want = [0.3, 0.2, 0.5, 0.8, 0.8, 0.85, 0.9, 0.9]
  for panel in panels.latency(records).rows[0].panels:
    assert [*itertools.chain(*panel.frontier)] == pytest.approx(want)
  for panel in panels.rejection(records).rows[0].panels:
    want = [0.25, 0.8, 0.4, 0.85, 0.45, 0.9]
    assert [*itertools.chain(*panel.frontier)] == pytest.approx(want)


def test_the_view_is_where_most_points_are_and_the_rest_is_told(make_record):
  records = [make_record('verifier_alone', quality=0.9)]
  records += [make_record('strict', gamma=3, quality=0.9, latency=0.6)]
  near = [make_record('near', a / 10, 3, 0.9 - a / 100, 0.5) for a in range(9)]
  far = make_record('far', 0.1, 3, 0.2, 2.0)
  (panel,) = panels.latency([*records, *near, far]).rows[0].panels
  assert panels.outside(panel) == 1
  assert 0.75 < panel.view.y[0] < 0.82
  assert 0.9 < panel.view.y[1] < 0.95
  assert 0.4 < panel.view.x[0] < 0.5
  assert 0.6 < panel.view.x[1] < 0.7
  (point,) = panel.lines[-1].points
  border = panels.on_border(panel.view, point)
  assert border == (panel.view.x[1], panel.view.y[0])
  assert panels.on_border(panel.view, panel.lines[0].points[0]) is None
  # Strict and the verifier are in view, wherever others are.
  others = [make_record('far', a / 10, 3, 0.2, 2.0) for a in range(9)]
  (panel,) = panels.latency([*records, *others]).rows[0].panels
  assert panel.view.x[0] < 0.6 < panel.view.x[1]
  assert panel.view.y[0] < 0.9 < panel.view.y[1]


def test_equal_points_have_a_view_of_some_width(make_record):
  records = [make_record('strict', gamma=3, quality=0.0, latency=0.5)]
  for chart in (panels.latency(records), panels.rejection(records)):
    (panel,) = chart.rows[0].panels
    for low, high in panel.view:
      assert high - low > 1e-3
      assert math.isfinite(high - low)


def test_models_alone_have_a_panel(make_record):
  records = [make_record('verifier_alone', quality=0.9)]
  for chart in (panels.latency(records), panels.rejection(records)):
    ((row),) = chart.rows
    assert row.title == 'temperature 0: verifier 0.900'
    (panel,) = row.panels
    assert (panel.lines, panel.verifier) == ((), 0.9)
