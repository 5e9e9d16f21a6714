"""Rows of what cells need, as a Markdown table."""

from collections.abc import Sequence
from typing import Any

from speccascade.aot import chips, predict

_ACCEPTANCES = 0.6, 0.8, 0.9
_HEAD = (
  'drafter → verifier', 'version', 'batch', 'prompt', 'slice', 'arguments',
  'temporaries', 'caches', 'peak', 'of HBM', 'bytes / floor', 'verifier alone',
  'drafter step', 'iteration', *(f'{a:g} accepted' for a in _ACCEPTANCES),
)  # fmt: skip
_NAMES = 5  # Columns before the numbers.
_MEMORY = 'arguments', 'temporaries', 'caches', 'peak'
_SLOTS = 'arguments', 'temporaries', 'peak'


def markdown(rows: Sequence[dict[str, Any]], gamma: int) -> str:
  """Returns a table: GiB of a device, and predicted milliseconds.

  Caches are a part of the temporaries. Columns of accepted drafts are
  milliseconds a token of a row, where so many are: of `strict` and of a cascade
  alike, which differ in how many are. What a call needs that serves slots comes
  last, where a row tells it: their caches are among its arguments.

  Args:
    rows: of `studies.compile_tpu`.
    gamma: draft length.
  """
  head = list(_HEAD)
  if served := any('slots' in row for row in rows):
    head += [f'slots: {name}' for name in _SLOTS]
  lines = [_line(head)]
  lines.append('|' + ':--|' * _NAMES + '--:|' * (len(head) - _NAMES))
  for row in rows:
    cells = _cells(row, gamma)
    if served:
      own = row.get('slots')
      cells += [_gib(own[name]) if own else '–' for name in _SLOTS]
    lines.append(_line(cells))
  return '\n'.join(lines)


def _line(cells):
  return '| ' + ' | '.join(cells) + ' |'


def _cells(row, gamma):
  chip = chips.CHIPS[row['version']]
  start = [
    ' → '.join(_names(row)), row['version'], str(row['batch']),
    str(row['prompt']),
  ]  # fmt: skip
  if 'times' not in row:
    blank = ['–'] * (len(_HEAD) - _NAMES)
    return [*start, f'none: {_reason(row, chip)}', *blank]
  own, times = row['needs'], row['times']
  iteration = times['iteration']
  return [
    *start,
    row['slice'].partition(':')[2],
    *(_gib(own[name]) for name in _MEMORY),
    f'{own["peak"] / chip.hbm:.0%}',
    f'{own["iteration"] / own["floor"]:.2f}',
    f'{times["verifier_token"]:.2f}',
    f'{times["drafter_step"]:.2f}',
    f'{iteration:.2f}',
    *(f'{iteration / predict.tokens(a, gamma):.2f}' for a in _ACCEPTANCES),
  ]


def _names(row):
  """The models, with the type of their weights where it is a choice."""
  weights = row.get('weights', [None] * len(row['pair']))
  return [
    f'{name} ({narrow})' if narrow else name
    for name, narrow in zip(row['pair'], weights, strict=True)
  ]


def _reason(row, chip):
  """How near the last slice came, or what the compiler said."""
  last = list(row['tried'].values())[-1]
  if isinstance(last, str):
    return f'the compiler failed ({last[:60]})'
  return f'{_gib(last)} GiB of {_gib(chip.hbm)}'


def _gib(nbytes):
  return f'{nbytes / chips.GIB:.2f}'
