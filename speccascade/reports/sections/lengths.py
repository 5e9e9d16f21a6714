"""How long answers are beside the verifier's, and speed with that counted.

A rule that writes more moves tokens a second without helping anyone, and one
that writes less is done sooner. So a speed-up is told per answer, per token,
and without the credit for either.
"""

import numpy as np

from speccascade.reports.render import page, tables
from speccascade.reports.stats import choice, estimates, points
from speccascade.tasks import bootstrap

_CAPTION = f"""\
Of each method the fastest point at the verifier's quality, as in Table 2;
where none is shown to be, the best that is no slower than the verifier.
Tokens: mean of an answer, its end included. Beside the verifier's: their ratio
on the same examples. Cut: the share of answers that reach the most tokens
allowed. Per answer: the verifier's seconds over the point's, the speed-up of
the other tables. Per token: that times the ratio of the tokens that were timed.
Length-adjusted: the lesser of both, so that neither writing more nor writing
less counts as speed. Over strict: the same over strict with its fastest draft
plan. Over control: the same over the fastest point of strict or of truncating
the verifier, then following it losslessly ({', '.join(points.CONTROLS[1:])}),
that is shown to lose at most {choice.MARGIN:.0%} of the verifier's quality or,
where the point itself is not, of the point's; – where none is shown. In
brackets: 95 % intervals of
the paired bootstrap over examples, and of speed-ups over trials too."""


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
  verifier = tested.own.verifier
  strict = max(
    (r for r in records if r['method'] == points.STRICT),
    key=lambda r: adjusted(r, verifier)[0],
    default=None,
  )
  rows = []
  for method, group in points.by_method(records).items():
    record = choice.fastest(group, tested) or choice.best(group)
    if record is not None:
      control = choice.control(record, records, tested)
      rows.append([method, *_cells(record, verifier, (strict, control))])
  columns = ['method', 'parameters', 'γ', 'tokens', "beside the verifier's"]
  columns += ['cut', 'per answer', 'per token', 'length-adjusted']
  return tables.Table([*columns, 'over strict', 'over control'], rows)


def ratio(record: dict, verifier: dict) -> tuple[float, float, float]:
  """Returns tokens over the verifier's, and the ends of its interval."""
  own_N, base_N = (np.array(r['example_tokens']) for r in (record, verifier))
  index_RxN = bootstrap.resamples(len(own_N))
  ratio_R = bootstrap.sums(own_N, index_RxN) / bootstrap.sums(base_N, index_RxN)
  return float(own_N.sum() / base_N.sum()), *bootstrap.interval(ratio_R)


def cut(record: dict) -> float | None:
  """Returns the share of answers at the limit; None where it is not known."""
  limit = record.get('max_new_tokens')
  if limit is None:
    return None
  tokens = record['example_tokens']
  return sum(number >= limit for number in tokens) / len(tokens)


def per_answer(record: dict, verifier: dict) -> np.ndarray:
  """Returns the speed-up over the verifier, then that of each resample."""
  return np.array(
    [points.speedup(record), *estimates.speedups(record, verifier)]
  )


def per_token(record: dict, verifier: dict) -> np.ndarray | None:
  """Returns `per_answer` in tokens a second; None where none were counted."""
  if record['timed_tokens'] is None or verifier['timed_tokens'] is None:
    return None
  own, base = (
    np.array([sum(r['timed_tokens']), *estimates.tokens(r)])
    for r in (record, verifier)
  )
  return per_answer(record, verifier) * own / base


def adjusted(record: dict, verifier: dict) -> np.ndarray:
  """Returns the lesser of the speed-ups per answer and per token."""
  answer, token = per_answer(record, verifier), per_token(record, verifier)
  return answer if token is None else np.minimum(answer, token)


def _cells(record, verifier, others):
  share, own = cut(record), adjusted(record, verifier)
  middle, low, high = ratio(record, verifier)
  speedups = [per_answer(record, verifier), per_token(record, verifier), own]
  speedups += [
    None if other is None else own / adjusted(other, verifier)
    for other in others
  ]
  return [
    points.parameters(record) or '–',
    points.plan(record) or '–',
    f'{record["output_length"]:.1f}',
    f'{middle:.3f} [{low:.3f}, {high:.3f}]',
    '–' if share is None else f'{share:.1%}',
    *(_speedup(x, record['latency_examples']) for x in speedups),
  ]


def _speedup(values, timed):
  """The first value and the interval of the others; a lone prompt has none."""
  if values is None:
    return '–'
  if timed == 1:
    return f'{values[0]:.2f}×'
  low, high = bootstrap.interval(values[1:])
  return f'{values[0]:.2f}× [{low:.2f}, {high:.2f}]'
