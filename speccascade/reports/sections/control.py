"""A control that must show nothing: strict beside the verifier alone.

Both sample one law. Where intervals of their difference leave out none in more
than 1 in 20 tables, the decoding or the statistics are wrong.
"""

from speccascade.reports.render import page, tables
from speccascade.reports.sections import lengths
from speccascade.reports.stats import cells, estimates, points
from speccascade.tasks import bootstrap, metrics

_CAPTION = """\
Strict and the verifier alone sample the same law, so that each difference is
one of samples: at temperature 0 of rounding alone. In brackets: 95 % intervals
of the paired bootstrap over examples. About 1 in 20 leaves out 0, or a ratio
of 1."""


def section(records: list[dict]) -> page.Section | None:
  """Returns the table; None where the two are not both there.

  Args:
    records: not pooled, see `law.pooled`.
  """
  rows = []
  for cell, own in cells.by_cell(records).items():
    for sampling, group in points.by_sampling(own).items():
      both = [
        next((r for r in group if r['method'] == name), None)
        for name in (points.VERIFIER, points.STRICT)
      ]
      if None not in both and both[0]['num_examples'] > 1:
        rows.append([*cell, str(sampling), *_cells(*both)])
  if not rows:
    return None
  columns = ['pair', 'task', 'sampling', "verifier's", "strict's"]
  columns += ['difference', 'tokens, strict over verifier', 'shows']
  caption = ' '.join(_CAPTION.split())
  return page.Section('Control', [tables.Table(columns, rows, caption)])


def _cells(verifier, strict):
  text = metrics.get(verifier['metric']).text
  difference_R = estimates.qualities(strict) - estimates.qualities(verifier)
  low, high = bootstrap.interval(difference_R)
  ratio, *ends = lengths.ratio(strict, verifier)
  told = [
    name
    for name, (start, end), nothing in (
      ('quality', (low, high), 0.0),
      ('length', ends, 1.0),
    )
    if not start <= nothing <= end
  ]
  return [
    text(verifier['quality']),
    text(strict['quality']),
    f'{strict["quality"] - verifier["quality"]:+.3f} [{low:.3f}, {high:.3f}]',
    f'{ratio:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]',
    f'a difference in {" and ".join(told)}' if told else 'nothing',
  ]
