"""Tests of the report of a study of tokens, from hand-made rows."""

import json

import numpy as np
import pytest

from speccascade.reports.render import tokens as tokens_figure
from speccascade.reports.sections import tokens
from speccascade.studies.tokens import summary

_TITLE = 'words, pair tiny: 4 test examples, float32, seed 0'
_GAMMA = 4
_CLASSES = ('digit', 'word start', 'newline', 'end')


def _rows(method, parameters, bound, temperature=1.0, quality=0.9):
  """The rows of a method, numbers drawn at random except these two."""
  rng = np.random.default_rng(int(1000 * bound))
  named = dict(temperature=temperature, method=method, parameters=parameters)
  draw = lambda *names: {name: rng.uniform() for name in names}  # noqa: E731

  def row(table, *names, **values):
    return {'table': table, **named, **draw(*names), **values}

  rejected = ('rejected', 'rejected_stderr')
  return [
    row(
      'overall',
      *rejected,
      *('length', 'divergence', 'divergence_stderr', 'gap'),
      *('bound_stderr', 'bound_any', 'bound_any_stderr'),
      quality=quality,
      bound=bound,
      longest_gamma=_GAMMA,
      bound_gamma=1,
      bound_any_gamma=9,
    ),
    *(_calls(row, gamma) for gamma in (1, _GAMMA)),
    *(
      row(
        'class',
        *rejected,
        *('share', 'gap', 'divergence', 'entropy', 'confidence'),
        share_of_rejections=None if name == 'end' else 0.25,
        **{'class': name},
      )
      for name in _CLASSES
    ),
    *(
      row(
        'draft',
        *('accepted', 'accepted_stderr', 'independent'),
        gamma=_GAMMA,
        position=i + 1,
      )
      for i in range(_GAMMA + 1)
    ),
    *(
      row('answer', 'rejected', rejected_stderr=None, decile=i + 1)
      if i == 4
      else row('answer', *rejected, decile=i + 1)
      for i in range(tokens_figure.TENTHS)
    ),
  ]


def _calls(row, gamma):
  return row(
    'calls',
    *('block_efficiency', 'block_efficiency_stderr', 'independent'),
    *('over_strict', 'over_strict_stderr', 'over_strict_predicted'),
    gamma=gamma,
  )


def _study(*methods, temperature=1.0):
  ceiling = _rows(summary.NOTHING_REJECTED, {}, 2.0, temperature)
  return [
    *(row for method in methods for row in method),
    *(row for row in ceiling if row['table'] == 'calls'),
  ]


@pytest.fixture(scope='module')
def rows():
  return [
    row
    for temperature in (0.0, 1.0)
    for row in _study(
      _rows('strict', {}, 1.0, temperature),
      _rows('token_v3', {'alpha': 0.5}, 1.1, temperature),
      _rows('lossy_beta', {'alpha': 0.5, 'beta': 2}, 1.2, temperature),
      temperature=temperature,
    )
  ]


def test_what_is_written(rows, tmp_path):
  text = tokens.write(rows, _TITLE, tmp_path / 'out', dpi=30)
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
  text = tokens.markdown(rows, _TITLE)
  assert text.startswith(f'{_TITLE}.\n')
  assert text.index('### Temperature 0') < text.index('### Temperature 1')
  tables = _tables(text)
  assert len(tables) == 12
  for table in tables:  # Every line as wide as its header.
    assert len({len(line) for line in table}) == 1


def test_the_numbers_are_those_of_the_rows(rows):
  text = tokens.markdown(rows, _TITLE)
  overall, efficiency, over_strict, classes, drafts, tenths = _tables(text)[6:]
  of = lambda table: [  # noqa: E731
    r for r in rows if r['table'] == table and r['temperature'] == 1
  ]
  r = of('overall')[2]
  assert overall[4][0] == 'lossy_beta α 0.5, β 2'
  expected = f'{r["rejected"]:.4f} ± {r["rejected_stderr"]:.4f}'
  assert overall[4][3] == expected
  bound = f'{r["bound"]:.3f} ± {r["bound_stderr"]:.3f} at {r["bound_gamma"]}'
  assert overall[4][6] == bound
  calls = [r for r in of('calls') if r['method'] == 'strict'][1]
  expected = f'{calls["block_efficiency"]:.2f} ({calls["independent"]:.2f})'
  assert efficiency[2][2] == expected
  assert efficiency[0][1:] == ['γ = 1', 'γ = 4']
  names = ['strict', 'token_v3 α 0.5', 'lossy_beta α 0.5, β 2']
  last = summary.NOTHING_REJECTED
  assert [line[0] for line in efficiency[2:]] == [*names, last]
  assert [line[0] for line in over_strict[2:]] == [*names[1:], last]
  assert [line[0] for line in classes[2::4]] == names
  assert [line[1] for line in classes[2:6]] == list(_CLASSES)
  assert [line[6] for line in classes[2:6]] == [*['25.0%'] * 3, '–']
  first = next(r for r in of('draft') if r['method'] == 'strict')
  expected = f'{first["accepted"]:.3f} ± {first["accepted_stderr"]:.3f}'
  assert drafts[2][1] == expected
  assert len(drafts[2]) == 1 + 5 + 1
  answers = [r for r in of('answer') if r['method'] == 'strict']
  assert tenths[2][-1].startswith(f'{answers[-1]["rejected"]:.3f} ±')
  assert tenths[2][5] == f'{answers[4]["rejected"]:.3f}'  # Without an error.


def _verdict(*methods):
  text = tokens.markdown(_study(*methods), _TITLE)
  return text.split('\n\n')[2]


def test_the_verdict_keeps_to_strict_s_quality():
  strict = _rows('strict', {}, 1.0)
  good = _rows('token_v3', {'alpha': 0.5}, 1.1)
  poor = _rows('token_v3', {'alpha': 0.9}, 1.2, quality=0.89)
  text = _verdict(strict, good, poor)
  own = good[0]
  assert 'token_v3 α 0.5' in text
  bound = f'{own["bound"]:.3f} ± {own["bound_stderr"]:.3f}×'
  assert f'at most {bound} with γ ≤ 4' in text
  assert 'token_v3 α 0.9' not in text
  for others in ([poor], []):
    text = _verdict(strict, *others)
    assert text.endswith("no other method here has strict's quality.")


def test_the_ceiling_is_that_of_no_method():
  study = _study(_rows('strict', {}, 1.0), _rows('token_v1', {}, 1.1))
  text = tokens.markdown(study, _TITLE).split('\n\n')[2]
  (ceiling,) = [
    r
    for r in study
    if r['method'] == summary.NOTHING_REJECTED and r['gamma'] == _GAMMA
  ]
  assert text.endswith(f'would gain {ceiling["over_strict"]:.3f}× at γ = 4.')


@pytest.fixture(scope='module')
def figure(rows):
  return tokens_figure.draw(rows, _TITLE)


def test_the_figure_has_three_panels_a_temperature(rows, figure):
  assert len(figure.axes) == 6
  named = [h.get_label() for h in figure.legends[0].legend_handles]
  assert named == ['strict', 'token_v3 α 0.5', 'lossy_beta α 0.5, β 2']
  classes, drafts, tenths = figure.axes[3:]
  at_1 = [r for r in rows if r['temperature'] == 1]
  own = [r for r in at_1 if r['method'] == 'strict']
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


def test_nothing_is_clipped(figure):
  figure.draw_without_rendering()
  legend = figure.legends[0].get_window_extent()
  for ax in figure.axes:
    tight = ax.get_tightbbox()
    assert figure.bbox.x0 <= tight.x0
    assert tight.x1 <= legend.x0
  assert legend.x1 <= figure.bbox.x1


def test_tenths_are_those_of_the_rows():
  assert tokens_figure.TENTHS == summary.DECILES
