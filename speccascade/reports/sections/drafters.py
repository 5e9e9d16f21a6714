"""How speed and quality move with the drafter's strength."""

import functools
import itertools

from speccascade.reports.render import figures, page, panels, tables
from speccascade.reports.sections import lengths
from speccascade.reports.stats import cells, choice, points
from speccascade.tasks import metrics

_CAPTION = f"""\
Acceptance: the share of tokens that are the drafter's under strict, which is
1 - D_TV(p, q). Best: the fastest point of any method but strict that is shown
to lose at most {choice.MARGIN:.0%} of the verifier's quality. Tokens: those of
its answers over the verifier's."""
_BEST = 'best other'


def section(records: list[dict]) -> page.Section | None:
  """Returns a table and a figure of several pairs; None of a single one."""
  rows, charted = [], []
  for sampling, group in points.by_sampling(records).items():
    found = [
      told
      for cell, own in cells.by_cell(group).items()
      if (told := _tell(cell, own)) is not None
    ]
    found.sort(key=lambda told: told['acceptance'])
    rows += [[told['name'], str(sampling), *told['row']] for told in found]
    if len(found) > 1:
      charted.append(_row(sampling, found))
  if not charted:
    return None
  columns = ['pair, task', 'sampling', 'acceptance', "drafter's quality"]
  columns += ["verifier's", 'strict', 'best', 'its parameters']
  columns += ['speed-up', 'over strict', 'tokens']
  chart = panels.Chart('Drafters', 'acceptance of strict', '', tuple(charted))
  caption = ' '.join(_CAPTION.split())
  draw = functools.partial(figures.draw, chart)
  return page.Section(
    'Drafters',
    [
      tables.Table(columns, rows),
      page.Figure('drafters.png', draw, caption, caption, chart),
    ],
  )


def _tell(cell, records):
  """What a pair's records tell under one sampling; None without strict."""
  tested = choice.tested(records)
  groups = points.by_method(records)
  if tested is None or points.STRICT not in groups:
    return None
  strict = max(groups[points.STRICT], key=points.speedup)
  others = [
    r for r in records if r['method'] not in (*points.MODELS, points.STRICT)
  ]
  best = choice.fastest(others, tested)
  verifier = groups[points.VERIFIER][0]
  text = metrics.get(verifier['metric']).text
  drafter = groups.get(points.DRAFTER)
  told = {
    'name': f'{cell.pair}, {cell.task}',
    'of': (cell.task, cell.pair.rpartition('+')[2]),
    'acceptance': 1 - strict['rejection_rate'],
    'strict': points.speedup(strict),
    'best': best and points.speedup(best),
    'tokens': best and lengths.ratio(best, verifier)[0],
    'method': best and best['method'],
  }
  told['row'] = [
    f'{told["acceptance"]:.3f}',
    text(drafter[0]['quality']) if drafter else '–',
    text(verifier['quality']),
    f'{told["strict"]:.2f}×',
    *(
      ['none', *'––––']
      if best is None
      else [
        best['method'],
        points.parameters(best) or '–',
        f'{told["best"]:.2f}×',
        f'{told["best"] / told["strict"]:.2f}×',
        f'{told["tokens"]:.3f}',
      ]
    ),
  ]
  return told


def _row(sampling, found):
  """Panels of speed-up and of length, over acceptance.

  A line joins the drafters of one verifier on one task; those of others than
  the one of most drafters are labelled by the task, or all that tells them.
  """
  of = lambda told: told['of']  # noqa: E731
  own = [list(x) for _, x in itertools.groupby(sorted(found, key=of), of)]
  tasks = [task for task, _ in {told['of'] for told in found}]
  speed, length = [], []
  for i, some in enumerate(sorted(own, key=len, reverse=True)):
    task, verifier = some[0]['of']
    label = f', {task}' if tasks.count(task) == 1 else f', {task} of {verifier}'
    label = label if i else ''
    some = sorted(some, key=lambda told: told['acceptance'])
    best = [told for told in some if told['best'] is not None]
    speed.append(_line(points.STRICT, label, some, 'strict'))
    if best:
      speed.append(_line(_BEST, label, best, 'best'))
      length.append(_line(_BEST, label, best, 'tokens'))
  made = [('speed-up over the verifier', speed)]
  made += [("tokens over the verifier's", length)] if length else []
  return panels.Row(
    str(sampling),
    tuple(
      panels.Panel(
        title,
        tuple(lines),
        (),
        1.0,
        panels.around(
          [p for x in lines for p in x.points]
          + [panels.Point(found[0]['acceptance'], 1.0, 0.0, ())]
        ),
      )
      for title, lines in made
    ),
  )


def _line(name, of, found, field):
  return panels.Line(
    name + of,
    tuple(
      panels.Point(
        told['acceptance'],
        told[field],
        0.0,
        (
          told['name'],
          f'acceptance of strict {told["acceptance"]:.3f}',
          f'{name if field == "strict" else told["method"]}: {told[field]:.3f}',
        ),
      )
      for told in found
    ),
  )
