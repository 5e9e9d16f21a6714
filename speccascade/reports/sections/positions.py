"""How many tokens the drafter writes, from an answer's start to its end."""

import functools

from speccascade.reports.render import figures, page, panels
from speccascade.reports.stats import cells, choice, points
from speccascade.runs import records as records_lib

# Places that fewer tokens reach, of those that reach the first, tell little.
_LEAST = 0.02

_CAPTION = f"""\
The share of tokens that are the drafter's, by their place in the answer
({records_lib.POSITIONS} tokens a point): of strict and of the methods that are
fastest at the verifier's quality; where none is shown to be, of the fastest
whose best point is no slower than the verifier. Places that fewer than
{_LEAST:.0%} of the answers reach are left out, and long answers alone tell of
late places."""


def section(records: list[dict]) -> page.Section | None:
  """Returns a figure of one pair and task; None where nothing was counted."""
  found = [
    (sampling, lines)
    for sampling, group in points.by_sampling(records).items()
    if (lines := _lines(group))
  ]
  if not found:
    return None
  view = panels.around(p for _, own in found for x in own for p in x.points)
  chart = panels.Chart(
    panels.title(records),
    'token of the answer',
    "share of the drafter's",
    (
      panels.Row(
        '',
        tuple(
          panels.Panel(str(sampling), lines, (), None, view)
          for sampling, lines in found
        ),
      ),
    ),
  )
  draw = functools.partial(figures.draw, chart)
  caption = ' '.join(_CAPTION.split())
  cell = cells.cell(records[0])
  return page.Section(
    f'By position: task {cell.task}, pair {cell.pair}',
    [page.Figure('positions.png', draw, caption, caption, chart)],
  )


def _lines(group):
  """Strict's line and those of the fastest methods."""
  tested = choice.tested(group)
  told = [r for r in group if r['positions']]
  methods = points.by_method(told).values()
  shown = [choice.fastest(own, tested) for own in methods]
  if all(r is None or r['method'] == points.STRICT for r in shown):
    shown += [
      choice.best(own) for own in methods if own[0]['method'] != points.STRICT
    ]
  shown = [r for r in shown if r is not None]
  shown.sort(key=lambda r: (r['method'] != points.STRICT, -points.speedup(r)))
  return tuple(map(_line, shown[: panels.MOST]))


def _line(record):
  label = ' '.join(filter(None, (record['method'], points.parameters(record))))
  size = records_lib.POSITIONS
  least = _LEAST * record['positions'][0][1]
  made = []
  for i, (own, all_) in enumerate(record['positions']):
    if all_ < max(least, 1):
      break
    told = (
      label,
      f'tokens {i * size + 1} to {(i + 1) * size} of the answers',
      f"{own / all_:.1%} are the drafter's, of {all_:,}",
    )
    made.append(panels.Point((i + 0.5) * size, own / all_, 0.0, told))
  return panels.Line(label, tuple(made))
