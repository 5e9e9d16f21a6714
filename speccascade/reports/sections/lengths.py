"""How long answers are beside the verifier's, and speed with that counted.

A rule that writes more moves tokens a second without helping anyone, and one
that writes less is done sooner. So a speed-up is told per answer, per token,
and without the credit for either.
"""

import numpy as np

from speccascade.reports.render import page, tables
from speccascade.reports.stats import choice, points
from speccascade.tasks import bootstrap

_INTERVAL = (2.5, 97.5)  # Percentiles.

_CAPTION = """\
Of each method the fastest point at the verifier's quality, as in Table 2;
where none is shown to be, the best that is no slower than the verifier.
Tokens: mean of an answer, its end included. Beside the verifier's: their ratio
on the same examples, in brackets its 95 % interval by the paired bootstrap.
Cut: the share of answers that reach the most tokens allowed. Per answer: the
verifier's seconds over the point's, the speed-up of the other tables. Per
token: that times the ratio of the tokens that were timed. Length-adjusted: the
lesser of both, so that neither writing more nor writing less counts as speed.
Over strict: the same over strict with its fastest draft plan."""


def section(records: list[dict]) -> page.Section | None:
  """Returns a table of each sampling; None without the verifier alone."""
  body = []
  for sampling, group in points.by_sampling(records).items():
    if any(r['method'] == points.VERIFIER for r in group):
      body += [f'{str(sampling).capitalize()}:', table(group)]
  if not body:
    return None
  cell = f'task {records[0]["task"]}, pair {records[0]["pair"]}'
  return page.Section(f'Lengths: {cell}', [*body, ' '.join(_CAPTION.split())])


def table(records: list[dict]) -> tables.Table:
  """Tabulates lengths and adjusted speed-ups of one sampling.

  Args:
    records: of one pair, task and sampling, the verifier alone among them.
  """
  tested = choice.tested(records)
  (verifier, *_) = [r for r in records if r['method'] == points.VERIFIER]
  strict = max(
    (adjusted(r, verifier) for r in records if r['method'] == points.STRICT),
    default=None,
  )
  rows = []
  for method, group in points.by_method(records).items():
    record = choice.fastest(group, tested) or choice.best(group)
    if record is not None:
      rows.append([method, *_cells(record, verifier, strict)])
  columns = ['method', 'parameters', 'γ', 'tokens', "beside the verifier's"]
  columns += ['cut', 'per answer', 'per token', 'length-adjusted']
  return tables.Table([*columns, 'over strict'], rows)


def ratio(record: dict, verifier: dict) -> tuple[float, float, float]:
  """Returns tokens over the verifier's, and the ends of its interval."""
  own_N, base_N = (np.array(r['example_tokens']) for r in (record, verifier))
  index_RxN = bootstrap.resamples(len(own_N))
  ratio_R = bootstrap.sums(own_N, index_RxN) / bootstrap.sums(base_N, index_RxN)
  low, high = np.percentile(ratio_R, _INTERVAL)
  return float(own_N.sum() / base_N.sum()), float(low), float(high)


def cut(record: dict) -> float | None:
  """Returns the share of answers at the limit; None where it is not known."""
  limit = record.get('max_new_tokens')
  if limit is None:
    return None
  tokens = record['example_tokens']
  return sum(number >= limit for number in tokens) / len(tokens)


def per_token(record: dict, verifier: dict) -> float | None:
  """Returns the speed-up in tokens a second; None where none were counted."""
  if record['timed_tokens'] is None or verifier['timed_tokens'] is None:
    return None
  tokens = sum(record['timed_tokens']) / sum(verifier['timed_tokens'])
  return points.speedup(record) * tokens


def adjusted(record: dict, verifier: dict) -> float:
  """Returns the lesser of the speed-ups per answer and per token."""
  own = points.speedup(record)
  return min(own, per_token(record, verifier) or own)


def _cells(record, verifier, strict):
  share, tokens = cut(record), per_token(record, verifier)
  middle, low, high = ratio(record, verifier)
  own = adjusted(record, verifier)
  return [
    points.parameters(record) or '–',
    points.plan(record) or '–',
    f'{record["output_length"]:.1f}',
    f'{middle:.3f} [{low:.3f}, {high:.3f}]',
    '–' if share is None else f'{share:.1%}',
    f'{points.speedup(record):.2f}×',
    '–' if tokens is None else f'{tokens:.2f}×',
    f'{own:.2f}×',
    '–' if strict is None else f'{own / strict:.2f}×',
  ]
