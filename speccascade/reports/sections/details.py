"""One pair and task in detail: the points behind the numbers of Table 2."""

import functools
import math

from speccascade.reports.render import figures, page, panels, tables
from speccascade.reports.stats import cells, choice, law, points
from speccascade.tasks import metrics

_SPREAD = 2.0  # Between rounds; more is told.
_COMMON = ('task', 'pair', 'metric', 'num_examples', 'dtype', 'seed')

_CAPTION = f"""\
Speed-up: the latency of the verifier alone over that of the point, ± its
standard error over the trials, which time the same prompts; other prompts would
vary it further. Same quality: the fastest point of the method that is shown to
lose at most {choice.MARGIN:.0%} of the verifier's {{metric}}, as in Table 2;
over strict (its speed-up over that of strict with its fastest draft plan),
acceptance rate (accepted over draft tokens), acceptance length (tokens per
verifier call), rejection rate (share of tokens rejected) and tokens (mean of an
answer) are of that point. Same latency: the best
point no slower than the verifier. ± of a quality is its standard error over the
examples. {law.NOTE}"""

_LATENCY = """\
Quality against latency relative to the verifier alone, each point under its
fastest draft plan."""
_REJECTION = """\
Quality against the share of emitted tokens that were rejected, under any draft
plan; under each for a method whose text depends on it."""
_PANELS = f"""\
A panel for each family of methods, strict in all of them; a line runs through
the values of a method's first parameter, its name at the largest. Bars are 95 %
intervals of the quality. Dotted: the verifier's quality. Grey steps: the best
quality of any method at each place. An open triangle at the border is a point
outside the view. {law.NOTE}"""


def section(records: list[dict]) -> page.Section:
  """Returns the tables and figures of one pair and task.

  Raises:
    ValueError: as `tabulated`.
  """
  body = tabulated(records)
  for name, chart, caption in (
    ('quality_latency', panels.latency, _LATENCY),
    ('quality_rejection', panels.rejection, _REJECTION),
  ):
    caption = ' '.join(f'{caption} {_PANELS}'.split())
    chart = chart(records)
    draw = functools.partial(figures.draw, chart)
    body.append(page.Figure(f'{name}.png', draw, caption, caption, chart))
  cell = cells.cell(records[0])
  return page.Section(f'Task {cell.task}, pair {cell.pair}', body)


def tabulated(records: list[dict]) -> list[str | tables.Table]:
  """Returns paragraphs and tables: what was run, then each sampling's points.

  Raises:
    ValueError: there are no records, or they do not compare: they differ in
      task, pair, metric, number of examples, dtype or seed.
  """
  if not records:
    raise ValueError('no records to report')
  blocks = [header(records), *timing(records)]
  for sampling, group in points.by_sampling(records).items():
    blocks.append(f'{str(sampling).capitalize()}:')
    blocks.append(table(group))
    if choice.tested(group) is None:
      blocks.append(
        'The verifier alone has no record here yet: its quality is unknown.'
      )
    if len(points.plans(group)) > 1:
      blocks += [
        f"Speed-up at the verifier's quality by draft plan γ, {sampling}:",
        by_plan(group),
      ]
  blocks.append(_CAPTION.format(metric=records[0]['metric']))
  return blocks


def header(records: list[dict]) -> str:
  """Returns what was run, on what and with what, in one paragraph.

  Raises:
    ValueError: the records do not compare.
  """
  for field in _COMMON:
    values = _distinct(records, lambda r, field=field: str(r[field]))
    if len(values) > 1:
      raise ValueError(
        f'records of different {field} ({", ".join(values)}) do not compare; '
        'report each on its own'
      )
  first = records[0]
  timed = _distinct(
    records, lambda r: f'{r["latency_examples"]} × {len(r["seconds"])} trials'
  )
  versions = _distinct(records, lambda r: _versions(r['versions']))
  devices = _distinct(records, lambda r: r['device'])
  revisions = _distinct(records, lambda r: _revision(r['git_revision']))
  return '\n'.join(
    [
      f'Task {first["task"]}, pair {first["pair"]}: {first["metric"]} on '
      f'{first["num_examples"]} examples, latency at batch 1 on '
      f'{" or ".join(timed)}.',
      f'{" or ".join(devices)}, {first["dtype"]}, seed {first["seed"]}, '
      f'revision {" or ".join(revisions)};',
      f'{" or ".join(versions)}.',
    ]
  )


def timing(records: list[dict]) -> list[str]:
  """Returns a sentence for each thing to know of the latencies.

  Whether the timed answers are those that were scored, and whether the costs,
  which predict latencies, were measured under a load that changed.
  """
  sentences = []
  known = [r for r in records if r['timed_differs'] is not None]
  if known:
    most = max(known, key=lambda r: r['timed_differs'])
    sentences.append(
      f'Timed answers that are not the scored ones: at most '
      f'{most["timed_differs"]:.1%} of a point, of {most["id"]}.'
      if most['timed_differs']
      else 'Every timed answer is the scored one.'
    )
  spread = max((r['cost_spread'] or 0 for r in records), default=0)
  if spread > _SPREAD:
    sentences.append(
      f'The measured costs differ up to {spread:.1f}× between rounds, so '
      'predicted latencies are uncertain.'
    )
  return sentences


def table(records: list[dict]) -> tables.Table:
  """Returns the main table of one sampling, a row for each method."""
  columns = [
    'method',
    'speed-up, same quality',
    'over strict',
    'parameters',
    'γ',
    'acceptance rate',
    'acceptance length',
    'rejection rate',
    'tokens',
    'quality, same latency',
    'parameters',
    'γ',
    'speed-up',
  ]
  tested = choice.tested(records)
  groups = points.by_method(records)
  strict = max(map(points.speedup, groups.get(points.STRICT, ())), default=None)
  rows = [
    [
      method,
      *(
        _fastest_cells(choice.fastest(group, tested), strict)
        or [_verdict(group, tested), *'–––––––']
      ),
      *_best_cells(choice.best(group)),
    ]
    for method, group in groups.items()
  ]
  return tables.Table(columns, rows)


def by_plan(records: list[dict]) -> tables.Table:
  """Returns the speed-ups at the verifier's quality, a column a draft plan."""
  tested = choice.tested(records)
  plans = points.plans(records)
  rows = []
  for method, group in points.by_method(records).items():
    if all(r['gamma'] is None for r in group):
      continue
    row = [method]
    for plan in plans:
      own = [r for r in group if points.plan(r) == plan]
      point = choice.fastest(own, tested)
      row.append(_speedup(point) if point else _verdict(own, tested))
    rows.append(row)
  return tables.Table(['method', *(f'γ = {plan}' for plan in plans)], rows)


def _verdict(group, tested):
  """What is known of points that are not at the verifier's quality."""
  if not group:
    return '–'
  return 'unknown' if tested is None else tested.verdict(group)


def _fastest_cells(record, strict):
  if record is None:
    return []
  return [
    _speedup(record),
    f'{points.speedup(record) / strict:.2f}×' if strict else '–',
    points.parameters(record) or '–',
    points.plan(record) or '–',
    _acceptance_rate(record['counts']),
    f'{record["block_efficiency"]:.2f}',
    f'{record["rejection_rate"]:.3f}',
    f'{record["output_length"]:.1f}',
  ]


def _acceptance_rate(counts):
  drafted = counts['drafted']
  return f'{counts["accepted"] / drafted:.3f}' if drafted else '–'


def _best_cells(record):
  if record is None:
    return ['not reached', *'–––']
  text = metrics.get(record['metric']).text
  return [
    f'{text(record["quality"])} ± {text(record["quality_stderr"])}',
    points.parameters(record) or '–',
    points.plan(record) or '–',
    f'{points.speedup(record):.2f}×',
  ]


def _speedup(record):
  latency = points.relative_latency(record)
  relative_error = points.latency_error(record) / latency
  error = '' if math.isnan(relative_error) else f' ± {relative_error:.1%}'
  return f'{points.speedup(record):.2f}×{error}'


def _versions(versions):
  return ', '.join(f'{name} {v}' for name, v in versions.items() if v)


def _revision(revision):
  if revision is None:
    return 'unknown'
  commit, *dirty = revision.split('-')
  return '-'.join([commit[:12], *dirty])


def _distinct(records, text):
  return list(dict.fromkeys(map(text, records)))
