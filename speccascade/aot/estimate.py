"""Estimates hours of a sweep on a slice, from a row of compile_tpu's table.

Nothing is compiled and no TPU was measured: an iteration takes what `predict`
tells, a floor.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from etils import epath

from speccascade.aot import chips, predict
from speccascade.storage import json_text

_FIELDS = {'pair', 'version', 'prompt', 'batch'}  # Of every row.


@dataclasses.dataclass(frozen=True)
class Cell:
  """What names a row of a table.

  Attributes:
    pair: names of the drafter and the verifier.
    slice: such as v5e:2x4.
    prompt: tokens that prompts are padded to.
  """

  pair: tuple[str, ...]
  slice: str
  prompt: int


@dataclasses.dataclass(frozen=True)
class Work:
  """What a sweep decodes.

  Attributes:
    examples: scored, each under every setting.
    settings: methods with their parameters, times samplings.
    batch: rows that are decoded at a time, settings times examples.
    timed: answers that are timed one at a time: points times timed examples
      times trials.
    new_tokens: of an answer.
    acceptance: share of the drafts that is accepted.
  """

  examples: int
  settings: int
  batch: int
  timed: int
  new_tokens: int
  acceptance: float

  def __post_init__(self):
    for name in ('examples', 'settings', 'batch', 'new_tokens'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be positive')
    if self.timed < 0:
      raise ValueError(f'timed={self.timed} must not be negative')
    if not 0 <= self.acceptance <= 1:
      raise ValueError(f'acceptance={self.acceptance} must be from 0 to 1')


def read(path: epath.PathLike) -> list[dict[str, Any]]:
  """Returns the rows of table.json, which `studies.compile_tpu` writes.

  Raises:
    ValueError: it is another file; the message names it.
    OSError: it cannot be read.
  """
  rows = json_text.load(path)
  if not isinstance(rows, list) or not all(
    isinstance(row, dict) and _FIELDS <= row.keys() for row in rows
  ):
    raise ValueError(
      f'{path} is no table of pairs; name a table.json that '
      'experiments/compile_tpu.py wrote'
    )
  return rows


def report(rows: Sequence[dict[str, Any]], cell: Cell, work: Work) -> str:
  """Returns lines that tell hours and chip-hours.

  Args:
    rows: of `read`.
    cell: of the table.
    work: of the sweep.

  Raises:
    ValueError: the table has no such row, or one that does not fit its slice.
  """
  row = _find(rows, cell, work.batch)
  scored = _hours(row, work.examples * work.settings, work)
  timed = work.timed and _hours(_find(rows, cell, 1), work.timed, work)
  number = row['needs']['devices'] // chips.CHIPS[row['version']].devices
  total = scored + timed
  return '\n'.join(
    [
      f'{" → ".join(cell.pair)} on {cell.slice}, {number} '
      f'chip{"s" * (number > 1)}',
      f'scored: {work.examples * work.settings} answers, {work.batch} at a '
      f'time: {scored:.3g} h',
      f'timed: {work.timed} answers, one at a time: {timed:.3g} h',
      f'together: {total:.3g} h, {total * number:.3g} chip-hours',
      'Predicted from bytes and products, never measured: a floor for answers '
      'that have nothing in common. Loading, compiling, reading prompts and '
      'scoring come on top.',
    ]
  )


def _hours(row, answers, work):
  """Of answers, as many at a time as the row has."""
  tokens = predict.tokens(work.acceptance, row['gamma'])
  iterations = math.ceil(answers / row['batch']) * work.new_tokens / tokens
  return iterations * row['times']['iteration'] / 3.6e6


def _find(rows, cell, batch):
  """The row of a cell at a batch size."""
  named = [
    x
    for x in rows
    if (tuple(x['pair']), x['prompt'], x['batch'])
    == (cell.pair, cell.prompt, batch)
  ]
  of = f'{"→".join(cell.pair)}, prompt {cell.prompt}, batch {batch}'
  for row in named:
    if cell.slice in row.get('tried', ()):
      raise ValueError(
        f'{of} does not fit {cell.slice}, or does not compile for it; take a '
        'larger slice'
      )
    if row.get('slice') != cell.slice:
      continue
    if 'gamma' not in row:
      raise ValueError(
        'the table does not tell gamma; run experiments/compile_tpu.py again, '
        'which takes what it has compiled'
      )
    return row
  slices = [x['slice'] for x in named if 'times' in x]
  raise ValueError(
    f'the table has no row of {of} on {cell.slice} (of it: '
    f'{", ".join(slices) or "none"}); compile that slice with all batch sizes, '
    f'1 of timed answers among them: python experiments/compile_tpu.py '
    f'--config=configs/compile_tpu.py --config.pairs="({cell.pair},)" '
    f'--config.topologies="(\'{cell.slice}\',)" '
    f'--config.prompts="({cell.prompt},)" --config.batch_sizes="(1, {batch})" '
    '--workdir=...'
  )
