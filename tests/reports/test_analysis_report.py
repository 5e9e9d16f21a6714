"""The tables and the figure of an analysis of hand-made answers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from speccascade import analysis, analysis_summary
from speccascade.reports import analysis_figure, analysis_report

_TITLE = 'words, pair tiny: 4 test examples, float32, seed 0'


def _answers(rule, rate, temperature=1.0, quality=0.9):
  rng = np.random.default_rng(int(1000 * rate))
  length_E = np.array([30, 12, 45, 20])
  T = length_E.sum()
  return analysis.Answers(
    setting=analysis.setting(rule, temperature, seed=0),
    quality=quality,
    length_E=length_E,
    kept_T=rng.uniform(size=T) > rate,
    class_T=np.resize(['digit', 'word start', 'newline', 'end'], T),
    divergence_T=rng.uniform(0, 2 * rate, T),
    gap_T=rng.uniform(0, 0.5, T),
    entropy_T=rng.uniform(0, 1, T),
    confidence_T=rng.uniform(0, 1, T),
  )


@pytest.fixture
def rows():
  answers = [
    _answers(rule, rate, temperature)
    for temperature in (0.0, 1.0)
    for rule, rate in (
      ('strict', 0.3), ('token_v3:0.5', 0.1), ('token_v3:0.9', 0.05)
    )
  ]  # fmt: skip
  return analysis_summary.rows(answers, 4, [1, 4])


def test_what_is_written(rows, tmp_path):
  text = analysis_report.write(rows, _TITLE, tmp_path / 'out')
  out = tmp_path / 'out'
  assert (out / 'analysis.md').read_text() == text
  lines = (out / 'analysis.jsonl').read_text().splitlines()
  assert [json.loads(line) for line in lines] == rows
  assert (out / 'analysis.png').read_bytes().startswith(b'\x89PNG')


def _tables(text):
  """The tables of a text: [[cells of a line]]."""
  blocks = [b for b in text.split('\n\n') if b.startswith('|')]
  return [
    [
      [cell.strip() for cell in line.strip('|').split('|')]
      for line in block.splitlines()
    ]
    for block in blocks
  ]


def test_each_temperature_has_six_tables(rows):
  text = analysis_report.markdown(rows, _TITLE)
  assert text.startswith(f'{_TITLE}.\n')
  assert text.index('### Temperature 0') < text.index('### Temperature 1')
  tables = _tables(text)
  assert len(tables) == 12
  for table in tables:  # Every line as wide as its header.
    assert len({len(line) for line in table}) == 1


def test_the_numbers_are_those_of_the_rows(rows):
  text = analysis_report.markdown(rows, _TITLE)
  overall, efficiency, over_strict, classes, drafts, tenths = _tables(text)[6:]
  of = lambda table: [  # noqa: E731
    r for r in rows if r['table'] == table and r['temperature'] == 1
  ]
  r = of('rule')[2]
  assert overall[4][0] == 'token_v3 α = 0.9'
  expected = f'{r["rejected"]:.4f} ± {r["rejected_stderr"]:.4f}'
  assert overall[4][3] == expected
  bound = f'{r["bound"]:.3f} ± {r["bound_stderr"]:.3f} at {r["bound_gamma"]}'
  assert overall[4][6] == bound
  calls = [r for r in of('calls') if r['rule'] == 'strict'][1]
  expected = f'{calls["block_efficiency"]:.2f} ({calls["independent"]:.2f})'
  assert efficiency[2][2] == expected
  assert efficiency[0][1:] == ['γ = 1', 'γ = 4']
  assert [line[0] for line in efficiency[2:]] == [
    'strict', 'token_v3 α = 0.5', 'token_v3 α = 0.9', 'nothing rejected'
  ]  # fmt: skip
  assert [line[0] for line in over_strict[2:]] == [
    'token_v3 α = 0.5', 'token_v3 α = 0.9', 'nothing rejected'
  ]  # fmt: skip
  assert [line[0] for line in classes[2::4]] == [
    'strict', 'token_v3 α = 0.5', 'token_v3 α = 0.9'
  ]  # fmt: skip
  first = next(r for r in of('draft') if r['rule'] == 'strict')
  expected = f'{first["accepted"]:.3f} ± {first["accepted_stderr"]:.3f}'
  assert drafts[2][1] == expected
  assert len(drafts[2]) == 1 + 5 + 1
  last = [r for r in of('answer') if r['rule'] == 'strict'][-1]
  assert tenths[2][-1].startswith(f'{last["rejected"]:.3f} ±')


def _verdict(*answers):
  rows = analysis_summary.rows(list(answers), 4, [1, 4])
  text = analysis_report.markdown(rows, _TITLE)
  return text.split('\n\n')[2], rows


def test_the_verdict_keeps_to_strict_s_quality():
  strict = _answers('strict', 0.3)
  good = _answers('token_v3:0.5', 0.1)
  poor = _answers('token_v3:0.9', 0.05, quality=0.89)
  text, rows = _verdict(strict, good, poor)
  _, own, better = [r for r in rows if r['table'] == 'rule']
  assert better['bound'] > own['bound']
  assert 'token_v3 α = 0.5' in text
  bound = f'{own["bound"]:.3f} ± {own["bound_stderr"]:.3f}×'
  assert f'at most {bound} with γ ≤ 4' in text
  assert 'token_v3 α = 0.9' not in text
  text, _ = _verdict(strict, poor)
  assert text.endswith('no other rule here has its quality.')
  text, _ = _verdict(strict)
  assert text.endswith('no other rule here has its quality.')


def test_the_figure_has_three_panels_a_temperature(rows):
  fig = analysis_figure.draw(rows, _TITLE)
  assert len(fig.axes) == 6
  named = [h.get_label() for h in fig.legends[0].legend_handles]
  assert named == ['strict', 'token_v3 α = 0.5', 'token_v3 α = 0.9']
  classes, drafts, tenths = fig.axes[3:]
  at_1 = [r for r in rows if r['temperature'] == 1]
  own = [r for r in at_1 if r['rule'] == 'strict']
  np.testing.assert_array_equal(
    classes.lines[0].get_xdata(),
    [r['divergence'] for r in own if r['table'] == 'class'],
  )
  for ax, table, name in (
    (drafts, 'draft', 'accepted'),
    (tenths, 'answer', 'rejected'),
  ):
    np.testing.assert_array_equal(
      ax.containers[0].lines[0].get_ydata(),
      [r[name] for r in own if r['table'] == table],
    )
  dashed = [x for x in drafts.lines if x.get_linestyle() == '--']
  assert dashed[0].get_ydata()[0] == next(
    r['independent'] for r in own if r['table'] == 'draft'
  )


def test_nothing_is_clipped(rows):
  fig = analysis_figure.draw(rows, _TITLE)
  fig.draw_without_rendering()
  legend = fig.legends[0].get_window_extent()
  for ax in fig.axes:
    tight = ax.get_tightbbox()
    assert fig.bbox.x0 <= tight.x0
    assert tight.x1 <= legend.x0
  assert legend.x1 <= fig.bbox.x1


def test_reports_need_no_decoding():
  code = (
    'import sys, speccascade.reports.report, '
    'speccascade.reports.analysis_report; '
    "print([m for m in sys.modules if m == 'jax' or 'decoding' in m])"
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == '[]'


def test_tenths_and_rules_are_those_of_the_rows(rows):
  assert analysis_figure.TENTHS == analysis_summary.DECILES
  overall = {r['rule'] for r in rows if r['table'] == 'rule'}
  calls = {r['rule'] for r in rows if r['table'] == 'calls'}
  assert calls - overall == {analysis_summary.NOTHING_REJECTED}
