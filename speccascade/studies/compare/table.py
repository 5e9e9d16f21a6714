"""The table of a comparison."""

import importlib.util
from collections.abc import Iterator

from speccascade.runs import environment
from speccascade.studies.compare import answers as answers_lib
from speccascade.studies.compare import config, measure, peer
from speccascade.sweeps import batches

HEAD = (
  '| batch | library | method | tokens/s | × generate | × assisted '
  '| tokens/verifier call | tokens/answer | text of generate | first turn |\n'
  '|--:|:--|:--|--:|--:|--:|--:|--:|--:|--:|'
)
_SHOWN = 10  # Differences; of the others the number is told.


def lines(rows: list[measure.Row], temperature: float) -> str:
  """Returns the lines of the table for the rows of a batch size."""
  return '\n'.join(_line(row, rows, temperature) for row in rows)


def first(notes: list[str]) -> list[str]:
  """Returns the first notes, and how many more there are."""
  more = len(notes) - _SHOWN
  return notes[:_SHOWN] + ([f'So do {more} more.'] if more > 0 else [])


def generate(rows: list[measure.Row]) -> measure.Row:
  """The row of the verifier alone in transformers, of those of a batch size."""
  return next(row for row in rows if row.way.name == measure.GENERATE)


def _line(row, own, temperature):
  """A line of the table; `own` are the rows of its batch size."""
  start = f'| {row.batch} | {row.way.library} | {row.way.name} '
  if row.answers is None:
    return f'{start}| n/a: takes batches of {row.way.most} |' + ' |' * 6
  reference = generate(own)
  assisted = [
    x.speed
    for x in own
    if x.way.name.startswith(measure.ASSISTED) and x.answers is not None
  ]
  beside = f'{row.speed / max(assisted):.2f}' if assisted else '–'
  number = len(row.answers.rows)
  differing = list(answers_lib.differences(row.answers, reference.answers))
  same = '–' if temperature else f'{number - len(differing)}/{number}'
  return (
    f'{start}| {row.speed:.0f} | {row.speed / reference.speed:.2f} | {beside} '
    f'| {row.answers.tokens / row.answers.calls:.2f} '
    f'| {row.answers.tokens / number:.1f} | {same} '
    f'| {row.timing.first:.1f} s |'
  )


def differences(
  rows: list[measure.Row], workload: batches.Workload, models: peer.Models
) -> Iterator[str]:
  """Yields where a lossless way is not of generate's text, and how near.

  Args:
    rows: of a batch size.
    workload: that was decoded.
    models: of transformers.
  """
  reference = generate(rows).answers
  for row in rows:
    if row.answers is None or not row.way.lossless:
      continue
    for example, at in answers_lib.differences(row.answers, reference):
      prompt_S = workload.token_ExS[example, : workload.length_E[example]]
      margin = peer.margin(models, prompt_S, reference.rows[example][:at])
      yield (
        f'Batch {row.batch}, {row.way.library}, {row.way.name}: example '
        f"{example} differs from token {at}, where the verifier's two best "
        f'logits are {margin:.1e} apart.'
      )


def title(
  study: config.Compare, workload: batches.Workload, models: peer.Models
) -> str:
  """Returns what is measured, on what, in which versions."""
  told, theirs = environment.describe(), peer.describe(models)
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  layers = ', layers stacked' if study.stacked else ''
  adapts = 'with' if importlib.util.find_spec('sklearn') else 'without'
  return (
    f'{told["device"]}, {study.dtype}{layers}, pair {workload.pair.name}, '
    f'{len(workload.examples)} prompts of {workload.task.name}, at most '
    f'{workload.task.max_new_tokens} tokens, temperature '
    f'{study.temperature:g}, medians of {study.trials} turns; {versions}; '
    f'torch {theirs["torch"]} and transformers {theirs["transformers"]} on '
    f'{theirs["device"]}, {theirs["threads"]} threads, {theirs["attention"]} '
    f'attention, {adapts} scikit-learn, which adapts what assisted generation '
    'is sure of'
  )
