"""What slots save beside fixed batches, and a grid beside its points.

Both of each are decoded in turns, and their answers are compared.
"""

import dataclasses
import functools
import operator
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pydantic
from etils import epath

from speccascade import config, methods
from speccascade.decoding import results, schedules
from speccascade.reports.render import tables
from speccascade.runs import environment
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import probabilities
from speccascade.storage import files, lines
from speccascade.studies import base
from speccascade.sweeps import batches, outputs, points, served
from speccascade.sweeps import config as sweeps_config
from speccascade.timing import clock

_Decoded = Iterator[tuple[list[served.Item], results.Result]]


class _Way(NamedTuple):
  """One of two ways to decode the same answers.

  Attributes:
    warm: calls that compile its programs, one each.
    decode: calls that yield all answers.
    slots: at a time.
  """

  warm: list[Callable[[], Any]]
  decode: list[Callable[[], _Decoded]]
  slots: int


class Batching(base.Study):
  """A rule's answers in slots, and those of many rules and values in a grid.

  Attributes:
    method: of the slots, a name of `methods.METHODS` that drafts.
    alpha: of it, if it takes one parameter.
    methods: of the grid, which draft.
    gamma: draft length.
    temperature: of both models.
    slots: rows of a fixed batch, and slots.
    num_examples: answers in them.
    grid_slots: of the grid, and of each point by itself.
    grid_examples: answers of each point.
    trials: turns of each comparison, after those that compile; 0 leaves it out.
    grid_trials: likewise.
  """

  method: str = 'strict'
  alpha: config.Float = 0.3
  methods: sweeps_config.Methods
  gamma: config.Gamma = 5
  temperature: config.Temperature = 1.0
  slots: config.Rows = 16
  num_examples: config.Examples = 500
  grid_slots: config.Rows = 64
  grid_examples: config.Examples = 200
  trials: config.Count = 3
  grid_trials: config.Count = 1

  @pydantic.field_validator('methods')
  @classmethod
  def _check_methods(cls, value):
    if not value:
      raise ValueError('methods={} must have at least one')
    for name in value:
      _check_drafts('methods', name)
    return value

  @pydantic.model_validator(mode='after')
  def _check_method(self):
    _check_drafts('method', self.method)
    parameters = methods.get(self.method).parameters
    if len(parameters) > 1:
      raise ValueError(f'method={self.method!r} takes more than alpha')
    for parameter in parameters:
      parameter.check(self.alpha, self.method)
    return self

  @pydantic.model_validator(mode='after')
  def _check_trials(self):
    if not self.trials + self.grid_trials:
      raise ValueError(
        'trials=0 and grid_trials=0: one of them must be at least 1'
      )
    return self

  @property
  def settings(self) -> list[points.Setting]:
    """The points of the grid."""
    return [
      self.setting(name, sweeps_config.as_values(point))
      for name, own in self.methods.items()
      for point in own or ((),)
    ]

  def setting(self, name: str, values: Sequence[float]) -> points.Setting:
    """A point of a method."""
    values = tuple(map(float, values))
    return points.Setting(name, values, self.temperature, 1.0, 0, self.seed)


def _check_drafts(field, name):
  if not methods.get(name).drafts:
    raise ValueError(f'{field}={name!r} does not draft')


def run(study: Batching, workdir: epath.PathLike) -> str:
  """Measures what `workdir` lacks; writes batching.jsonl and table.md to it.

  Returns:
    The table.

  Raises:
    ValueError: the pair, task or examples are not there or do not fit, or
      `workdir` was created with other settings.
  """
  workload = dataclasses.replace(
    study.workload(max(study.num_examples, study.grid_examples)),
    asked=probabilities.asked(study.temperature, 1),
  )
  trials = {'slots': study.trials, 'grid': study.grid_trials}
  with workdir_lib.sole(workdir) as folder:
    workdir_lib.claim(study.to_dict(), folder / 'config.json')
    with lines.Log(folder / 'batching.jsonl') as log:
      done = {row['comparison'] for row in log.lines}
      for name, ways in _comparisons(study, workload, study.settings).items():
        if name not in done and trials[name]:
          log.append(_measure(name, ways, trials[name]))
      text = _table(study, log.lines)
    files.write(folder / 'table.md', f'{text}\n')
  return text


def _comparisons(study, workload, settings):
  """{comparison: {name: _Way}}."""
  width = batches.padded(workload.length_E.max())
  plan = schedules.Plan(study.gamma)
  values = (study.alpha,) * len(methods.get(study.method).parameters)
  alone = study.setting(study.method, values)
  some = [(alone, e) for e in range(study.num_examples)]
  every = [(s, e) for s in settings for e in range(study.grid_examples)]
  first = {s.method: s for s in reversed(settings)}  # Values are no program's.

  def serve(items, rows):
    return functools.partial(served.decode, workload, items, plan, rows, width)

  def warm(items, rows):
    return functools.partial(
      served.start, workload, items, plan, rows, width, turns=1
    )

  def of(setting):
    return [(setting, e) for e in range(study.grid_examples)]

  fixed = functools.partial(_fixed, workload, plan, study.slots, width)
  singles = [serve(of(s), study.grid_slots) for s in settings]
  return {
    'slots': {
      'fixed batches': _Way(
        [lambda: list(fixed(some[: study.slots]))],
        [lambda: fixed(some)],
        study.slots,
      ),
      'slots': _Way(
        [warm(some, study.slots)],
        [serve(some, study.slots)],
        study.slots,
      ),
    },
    'grid': {
      'points one by one': _Way(
        [warm(of(s), study.grid_slots) for s in first.values()],
        singles,
        study.grid_slots,
      ),
      'one grid': _Way(
        [warm(every, study.grid_slots)],
        [serve(every, study.grid_slots)],
        study.grid_slots,
      ),
    },
  }


def _fixed(workload, plan, rows, width, items) -> _Decoded:
  """Batches of examples in their order; the last one is filled up."""
  for start in range(0, len(items), rows):
    own = items[start : start + rows]
    index = np.resize([e for _, e in own], rows)
    prompts = batches.prompts(workload, index, width=width)
    result = batches.decode(workload, prompts, [own[0][0]], plan)
    yield own, jax.device_get(result)


def _measure(comparison, ways, trials) -> list[dict[str, Any]]:
  """A row of each way; their trials take turns."""
  rows = {}
  for name, way in ways.items():
    print(f'{name}: compiles ...', file=sys.stderr, flush=True)
    start = clock.now()
    for call in way.warm:
      jax.block_until_ready(call())
    rows[name] = {
      'comparison': comparison,
      'way': name,
      'slots': way.slots,
      'programs': len(way.warm),
      'compile_seconds': clock.now() - start,
      'seconds': [],
    } | environment.describe()
  for trial in range(trials):
    for name, way in ways.items():
      print(f'{name}: {trial + 1} of {trials} ...', file=sys.stderr, flush=True)
      start = clock.now()
      found = [ended for call in way.decode for ended in call()]
      rows[name]['seconds'].append(clock.now() - start)
      rows[name] |= _answers(found)
  return list(rows.values())


def _answers(found):
  """How many tokens, and a digest of each answer in a fixed order."""
  told, tokens = {}, 0
  for items, result in found:
    for row, (setting, example) in enumerate(items):
      length = int(result.length_B[row])
      digest = outputs.digest(result.token_BxN[row, :length])
      told[setting.id(), example] = digest
      tokens += length
  return {'tokens': tokens, 'digests': [told[key] for key in sorted(told)]}


def _rules(study):
  """What the answers follow."""
  name = study.method
  if methods.get(name).parameters:
    name += f', α = {study.alpha:g}'
  return f'{name} and a grid of {len(study.settings)} points'


def _table(study, rows):
  head = (
    'answers of', 'slots', 'programs', 'answers', 'tokens an answer',
    'seconds', 'tokens/s', '×', 'answers equal', 'compile',
  )  # fmt: skip
  cells, first = [], {}
  for row in rows:
    seconds, number = statistics.median(row['seconds']), len(row['digests'])
    before, digests = first.setdefault(
      row['comparison'], (seconds, row['digests'])
    )
    equal = sum(map(operator.eq, digests, row['digests']))
    cells.append(
      [
        row['way'],
        str(row['slots']),
        str(row['programs']),
        str(number),
        f'{row["tokens"] / number:.1f}',
        f'{seconds:.1f}',
        f'{row["tokens"] / seconds:.0f}',
        f'{before / seconds:.2f}',
        f'{equal}/{number}',
        f'{row["compile_seconds"]:.1f} s',
      ]
    )
  told = rows[-1]
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  return (
    f'{tables.markdown(tables.Table(head, cells))}\n{told["device"]}, '
    f'{study.dtype}, {_rules(study)}, γ = {study.gamma}, temperature '
    f'{study.temperature:g}, '
    f'medians of {len(rows[0]["seconds"])} and {len(told["seconds"])}; '
    f'{versions}'
  )
