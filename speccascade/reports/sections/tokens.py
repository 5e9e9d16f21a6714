"""Writes a study of tokens: its tables, its rows and its figure."""

import functools
import json

from etils import epath

from speccascade.reports.render import page, tables
from speccascade.reports.render import tokens as tokens_figure
from speccascade.reports.stats import points
from speccascade.storage import files

_DPI = 150

_CAPTION = """\
± is the standard error over the examples. Rejected: measured. D_TV(π, q): mean
probability of a rejection at the emitted tokens; D_TV(p, q): the same under
strict at these tokens. Entropy (nats) and confidence (largest probability) are
the drafter's at temperature 1. Evenly: tokens a call if every draft were
accepted with the method's mean probability. Calls of strict over the method's:
verifier calls on the same examples, which is the speed-up over strict at equal
γ; in brackets predicted from the mean D_TV(π, q) alone, which has less noise.
Over strict, at most: the largest of those over all γ up to the one named, or
over all. As an iteration costs the same under every method, that bounds the
speed-up over strict at strict's best γ, whatever iterations cost."""


def write(
  rows: list[dict], title: str, out: epath.PathLike, dpi: float = _DPI
) -> str:
  """Writes the report of a study into a folder and returns its tables.

  Args:
    rows: what `studies.tokens.summary.rows` returned.
    title: what was studied, a line.
    out: folder for analysis.md, analysis.jsonl and analysis.png; made if there
      is none.
    dpi: pixels per inch of the figure.
  """
  out = epath.Path(out)
  lines = (json.dumps(row, allow_nan=False) + '\n' for row in rows)
  files.write(out / 'analysis.jsonl', ''.join(lines))  # First: took longest.
  text = markdown(rows, title)
  files.write(out / 'analysis.md', text)
  draw = functools.partial(tokens_figure.draw, rows, title)
  figure = page.Figure('analysis.png', draw, '', '')
  files.write(out / figure.name, page.png(figure, dpi))
  return text


def markdown(rows: list[dict], title: str) -> str:
  """Returns the tables of each temperature, as `write` does."""
  sections = [page.Section('', [f'{title}.'])]
  for temperature in dict.fromkeys(r['temperature'] for r in rows):
    group = [r for r in rows if r['temperature'] == temperature]
    body = [
      _verdict(group),
      _overall(group),
      *_calls(group),
      _classes(group),
      _drafts(group),
      _answers(group),
    ]
    sections.append(page.Section(f'Temperature {temperature:g}', body))
  sections.append(page.Section('', [_CAPTION]))
  return page.markdown(sections, level=3)


def _of(rows, table):
  return [r for r in rows if r['table'] == table]


def _by_label(rows, table):
  """{label: rows of the table}, in the order measured."""
  groups = {}
  for row in _of(rows, table):
    groups.setdefault(tokens_figure.label(row), []).append(row)
  return groups


def _verdict(rows):
  """Says how much the best method can gain over strict."""
  overall = _of(rows, 'overall')
  strict = next(r for r in overall if r['method'] == points.STRICT)
  others = [r for r in overall if r['method'] != points.STRICT]
  as_good = [r for r in others if r['quality'] >= strict['quality']]
  text = f'Strict rejects {strict["rejected"]:.2%} of the tokens'
  if not as_good:
    return f"{text}; no other method here has strict's quality."
  best = max(as_good, key=lambda r: r['bound'])
  ceiling = next(
    r
    for r in _of(rows, 'calls')
    # Of no method: strict's answers as if nothing had been rejected.
    if r['method'] not in {other['method'] for other in overall}
    and r['gamma'] == strict['longest_gamma']
  )
  return (
    f'{text}, {tokens_figure.label(best)} {best["rejected"]:.2%}. Of the '
    f"methods with strict's quality or better, {tokens_figure.label(best)} can "
    f'gain most over strict: at most {_measured(best, "bound", "{:.3f}")}× '
    f'with γ ≤ {best["longest_gamma"]} and '
    f'{_measured(best, "bound_any", "{:.3f}")}× with any γ. A method without '
    f'rejections would gain {ceiling["over_strict"]:.3f}× at γ = '
    f'{ceiling["gamma"]}.'
  )


def _overall(rows):
  overall = _of(rows, 'overall')
  columns = [
    'method',
    'quality',
    'length',
    'rejected',
    'D_TV(π, q)',
    'D_TV(p, q)',
    f'over strict, at most, γ ≤ {overall[0]["longest_gamma"]}',
    'any γ',
  ]
  return tables.Table(
    columns,
    [
      [
        tokens_figure.label(r),
        f'{r["quality"]:.3f}',
        f'{r["length"]:.1f}',
        _measured(r, 'rejected', '{:.4f}'),
        _measured(r, 'divergence', '{:.4f}'),
        f'{r["gap"]:.4f}',
        f'{_measured(r, "bound", "{:.3f}")} at {r["bound_gamma"]}',
        f'{_measured(r, "bound_any", "{:.3f}")} at {r["bound_any_gamma"]}',
      ]
      for r in overall
    ],
  )


def _calls(rows):
  groups = _by_label(rows, 'calls')
  gammas = [f'γ = {r["gamma"]}' for r in next(iter(groups.values()))]
  efficiency = tables.Table(
    ['tokens a verifier call (evenly)', *gammas],
    [
      [
        label,
        *(f'{r["block_efficiency"]:.2f} ({r["independent"]:.2f})' for r in row),
      ]
      for label, row in groups.items()
    ],
  )
  over_strict = tables.Table(
    ["calls of strict over the method's (predicted)", *gammas],
    [
      [
        label,
        *(
          f'{_measured(r, "over_strict", "{:.3f}")} '
          f'({r["over_strict_predicted"]:.3f})'
          for r in row
        ),
      ]
      for label, row in groups.items()
      if label != points.STRICT
    ],
  )
  return efficiency, over_strict


def _classes(rows):
  columns = [
    'method',
    'class',
    'share',
    'D_TV(p, q)',
    'D_TV(π, q)',
    'rejected',
    'of all rejections',
    'entropy',
    'confidence',
  ]
  cells, before = [], None
  for r in _of(rows, 'class'):
    label, of_all = tokens_figure.label(r), r['share_of_rejections']
    cells.append(
      [
        '' if label == before else label,
        r['class'],
        f'{r["share"]:.1%}',
        f'{r["gap"]:.4f}',
        f'{r["divergence"]:.4f}',
        _measured(r, 'rejected', '{:.4f}'),
        '–' if of_all is None else f'{of_all:.1%}',
        f'{r["entropy"]:.3f}',
        f'{r["confidence"]:.3f}',
      ]
    )
    before = label
  return tables.Table(columns, cells)


def _drafts(rows):
  groups = _by_label(rows, 'draft')
  gamma = _of(rows, 'draft')[0]['gamma']
  columns = [f'accepted, γ = {gamma}', *map(str, range(1, gamma + 2)), 'all']
  return tables.Table(
    columns,
    [
      [
        label,
        *_padded([_measured(r, 'accepted', '{:.3f}') for r in row], gamma + 1),
        f'{row[0]["independent"]:.3f}',
      ]
      for label, row in groups.items()
    ],
  )


def _answers(rows):
  columns = ['rejected, by tenth of the answer']
  columns += map(str, range(1, tokens_figure.TENTHS + 1))
  cells = []
  for label, row in _by_label(rows, 'answer').items():
    by = {r['decile']: _measured(r, 'rejected', '{:.3f}') for r in row}
    tenths = range(1, tokens_figure.TENTHS + 1)
    cells.append([label, *(by.get(i, '–') for i in tenths)])
  return tables.Table(columns, cells)


def _measured(row, name, number):
  """A value ± its standard error, where it has one."""
  text, error = number.format(row[name]), row[f'{name}_stderr']
  return text if error is None else f'{text} ± {number.format(error)}'


def _padded(cells, width):
  return cells + ['–'] * (width - len(cells))
