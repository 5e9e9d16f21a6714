"""One pair and task in detail: the points behind the numbers of Table 2."""

import functools
import math

from speccascade.reports import law, points, tables

_COMMON = ('task', 'pair', 'metric', 'num_examples', 'dtype', 'seed')

_CAPTION = f"""\
Speed-up: the latency of the verifier alone over that of the point, ± its
standard error over the trials, which take the same prompts in turn; other
prompts would vary it further. Same quality: the fastest point of the rule whose
{{metric}} is no lower than the verifier's as measured, with no allowance for
sampling error; over strict (its speed-up over that of strict at its fastest γ),
blocks, rejected and length (tokens per verifier call, share of tokens rejected,
mean tokens an example) are of that point. Same latency: the best point no
slower than the verifier. ± of a quality is its standard error over the
examples. {law.NOTE}"""


def fastest(group: list[dict], quality: float) -> dict | None:
  """Returns the fastest record of at least this quality, if any.

  Of equally fast ones the better, then the earlier.
  """
  reached = [r for r in group if r['quality'] >= quality]
  return max(
    reached, key=lambda r: (points.speedup(r), r['quality']), default=None
  )


def best(group: list[dict]) -> dict | None:
  """Returns the best record at no more than the verifier's latency, if any.

  Of equally good ones the faster, then the earlier.
  """
  reached = [r for r in group if points.relative_latency(r) <= 1]
  return max(
    reached, key=lambda r: (r['quality'], points.speedup(r)), default=None
  )


def sections(records: list[dict]) -> list[str | tables.Table]:
  """Returns paragraphs and tables: what was run, then each sampling's points.

  Raises:
    ValueError: there are no records, or they do not compare: they differ in
      task, pair, metric, number of examples, dtype or seed.
  """
  if not records:
    raise ValueError('no records to report')
  blocks = [header(records)]
  for sampling, group in points.by_sampling(records).items():
    blocks.append(f'{str(sampling).capitalize()}:')
    blocks.append(table(group))
    if math.isinf(_verifier_quality(group)):
      blocks.append(
        'The verifier alone has no record here yet: its quality is unknown.'
      )
    if len(points.plans(group)) > 1:
      blocks += [
        f"Speed-up at the verifier's quality by draft length γ, {sampling}:",
        by_plan(group),
      ]
  blocks.append(_CAPTION.format(metric=records[0]['metric']))
  return blocks


def shown(records: list[dict]) -> list[dict]:
  """Returns the points of one sampling whose latencies the tables show."""
  quality = _verifier_quality(records)
  found = []
  for group in points.by_rule(records).values():
    found += [best(group), fastest(group, quality)]
    for plan in points.plans(group):
      own = [r for r in group if points.plan(r) == plan]
      found.append(fastest(own, quality))
  return [r for r in found if r is not None]


def header(records: list[dict]) -> str:
  """Returns what was run, on what and with what, in one paragraph."""
  for field in _COMMON:
    values = _distinct(records, lambda r, field=field: str(r[field]))
    if len(values) > 1:
      raise ValueError(
        f'records of different {field} ({", ".join(values)}) do not compare; '
        'report one at a time'
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


def table(records: list[dict]) -> tables.Table:
  """Returns the main table of one sampling, a row for each rule."""
  columns = [
    'rule',
    'speed-up, same quality',
    'over strict',
    'α',
    'γ',
    'blocks',
    'rejected',
    'length',
    'quality, same latency',
    'α',
    'γ',
    'speed-up',
  ]
  quality = _verifier_quality(records)
  groups = points.by_rule(records)
  strict = max(map(points.speedup, groups.get('strict', ())), default=None)
  rows = [
    [
      rule,
      *_fastest_cells(fastest(group, quality), strict),
      *_best_cells(best(group)),
    ]
    for rule, group in groups.items()
  ]
  return tables.Table(columns, rows)


def by_plan(records: list[dict]) -> tables.Table:
  """Returns each rule's speed-up at the verifier's quality for each plan."""
  quality = _verifier_quality(records)
  plans = points.plans(records)
  rows = []
  for rule, group in points.by_rule(records).items():
    if all(r['gamma'] is None for r in group):
      continue
    row = [rule]
    for plan in plans:
      point = fastest([r for r in group if points.plan(r) == plan], quality)
      row.append(_speedup(point) if point else 'not reached')
    rows.append(row)
  return tables.Table(['rule', *(f'γ = {plan}' for plan in plans)], rows)


def _verifier_quality(records):
  for record in records:
    if record['rule'] == points.VERIFIER:
      return record['quality']
  return math.inf  # not measured yet: nothing reaches it


def _fastest_cells(record, strict):
  if record is None:
    return ['not reached', *'––––––']
  return [
    _speedup(record),
    f'{points.speedup(record) / strict:.2f}×' if strict else '–',
    _number(record['alpha']),
    points.plan(record) or '–',
    f'{record["block_efficiency"]:.2f}',
    f'{record["rejection_rate"]:.3f}',
    f'{record["output_length"]:.1f}',
  ]


def _best_cells(record):
  if record is None:
    return ['not reached', *'–––']
  text = functools.partial(points.quality_text, record['metric'])
  return [
    f'{text(record["quality"])} ± {text(record["quality_stderr"])}',
    _number(record['alpha']),
    points.plan(record) or '–',
    f'{points.speedup(record):.2f}×',
  ]


def _speedup(record):
  relative_error = points.latency_error(record) / points.relative_latency(
    record
  )
  error = '' if math.isnan(relative_error) else f' ± {relative_error:.1%}'
  return f'{points.speedup(record):.2f}×{error}'


def _number(value):
  return '–' if value is None else f'{value:g}'


def _versions(versions):
  return ', '.join(f'{name} {v}' for name, v in versions.items() if v)


def _revision(revision):
  if revision is None:
    return 'unknown'
  commit, *dirty = revision.split('-')
  return '-'.join([commit[:12], *dirty])


def _distinct(records, text):
  return list(dict.fromkeys(map(text, records)))
