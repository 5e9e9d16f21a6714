"""Tokens a second and waits of requests that are served in slots."""

import dataclasses
import itertools
import math
import statistics
import sys
from typing import Any

import numpy as np
import pydantic
from etils import epath

from speccascade import config, methods
from speccascade.decoding import queue as queue_lib
from speccascade.decoding import schedules as schedules_lib
from speccascade.methods import sequence_cascade
from speccascade.reports.render import page, tables
from speccascade.reports.render import throughput as figure
from speccascade.runs import environment, memory
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import probabilities
from speccascade.storage import files, lines
from speccascade.studies import base
from speccascade.sweeps import batches, points, served
from speccascade.timing import calibration, requests

_KEY = 'method', 'plan', 'slots', 'rate'
# What a later run may have more of.
_FREE = 'methods', 'gammas', 'schedules', 'slots', 'rates', 'trials'
_DPI = 120
_COLUMNS = {
  'method': 'method',
  'plan': 'drafts',
  'slots': 'slots',
  'rate': 'requests/s asked',
  'request_throughput': 'requests/s',
  'output_throughput': 'tokens/s',
  'output_length': 'tokens an answer',
  'occupancy': 'occupancy',
  'kv_cache_usage': 'cache usage',
  'median_ttft_ms': 'TTFT, ms',
  'p99_ttft_ms': 'p99 TTFT, ms',
  'median_tpot_ms': 'TPOT, ms',
  'p99_tpot_ms': 'p99 TPOT, ms',
  'median_e2el_ms': 'E2EL, ms',
}


class Throughput(base.Study):
  """Methods x draft plans x slots x rates.

  Attributes:
    methods: names of `methods.METHODS`, but for cascades over whole answers.
    alpha: of those that take a parameter.
    gammas: fixed draft lengths.
    schedules: names of draft schedules that take no parameter, `load` or
      `adaptive`; what turns cost is measured for each number of slots.
    schedule_gamma: longest draft of those.
    temperature: of both models.
    slots: answers that are decoded at a time.
    rates: requests a second, of Poisson processes; 0 is all at once.
    num_requests: of each.
    num_examples: different prompts among them; they come in turn, and each
      answer to one is another sample.
    turns: of the loop between two looks at what has arrived, until all has.
    turn_ms: what a turn takes by a simulated clock; None is the real one.
    trials: of each, of which medians are told; those of one run take turns. One
      by a simulated clock, whose trials are alike.
  """

  methods: tuple[str, ...] = pydantic.Field(
    ('verifier_alone', 'strict', 'token_v3'), min_length=1
  )
  alpha: config.Float = 0.3
  gammas: tuple[config.Gamma, ...] = (5,)
  schedules: tuple[str, ...] = ()
  schedule_gamma: config.Gamma = 8
  temperature: config.Temperature = 1.0
  slots: tuple[config.Rows, ...] = pydantic.Field((1, 4, 16, 64), min_length=1)
  rates: tuple[pydantic.NonNegativeFloat, ...] = pydantic.Field(
    (0.0,), min_length=1
  )
  num_requests: config.Examples = 500
  num_examples: config.Examples = 200
  turns: config.Rows = 4
  turn_ms: pydantic.PositiveFloat | None = None
  trials: config.Trials = 3

  @pydantic.field_validator('methods')
  @classmethod
  def _check_methods(cls, value):
    for name in value:
      method = methods.get(name)
      if isinstance(method, sequence_cascade.SequenceCascade):
        raise ValueError(
          f'methods={name!r} has no first token until the drafter has ended'
        )
      if len(method.parameters) > 1:
        raise ValueError(f'methods={name!r} takes more than alpha')
    return value

  @pydantic.field_validator('schedules')
  @classmethod
  def _check_schedules(cls, value):
    for name in value:
      schedule = schedules_lib.get(name)
      alone = schedule.measured and schedule.begin is None
      if schedule.more is None or schedule.swept or alone:
        raise ValueError(f'schedules={name!r} must be load or adaptive')
    return value

  @pydantic.model_validator(mode='after')
  def _check_alpha(self):
    for name in self.methods:
      for parameter in methods.get(name).parameters:
        parameter.check(self.alpha, name)
    if not self.gammas + self.schedules:
      raise ValueError(
        'gammas=() and schedules=(): one of them must name a plan'
      )
    return self

  def plans(self, name: str) -> dict[str, schedules_lib.Plan | None]:
    """{id: plan} of a method; '' is the id of decoding without drafts."""
    if not methods.get(name).drafts:
      return {'': None}
    found = [schedules_lib.Plan(gamma) for gamma in self.gammas]
    found += [
      schedules_lib.Plan(self.schedule_gamma, name) for name in self.schedules
    ]
    return {plan.id(): plan for plan in found}


def run(study: Throughput, workdir: epath.PathLike) -> str:
  """Measures what `workdir` lacks.

  Writes requests.jsonl, table.md and throughput.png to it.

  Returns:
    The table.

  Raises:
    ValueError: the pair, task or examples are not there or do not fit, or
      `workdir` was created with other settings, or has trials of another device
      or other versions than those that are left would be of.
  """
  workload = dataclasses.replace(
    study.workload(study.num_examples),
    asked=probabilities.asked(study.temperature, 1),
  )
  memory.tell('with the models loaded')
  with workdir_lib.sole(workdir) as folder:
    workdir_lib.claim(study.to_dict(), folder / 'config.json', free=_FREE)
    with lines.Log(folder / 'requests.jsonl') as log:
      wanted, done = _trials(study), set(map(_trial, log.lines))
      left, made = [x for x in wanted if x not in done], {}
      if left:
        now = environment.describe()
        told = {name: now[name] for name in ('device', 'versions')}
        workdir_lib.claim_environment(told, folder / 'environment.json')
      for *key, trial in left:
        name, plan, slots, rate = key
        said = f'{name} {plan}'.strip()
        print(
          f'{said}, {slots} slots, rate {rate:g}, trial {trial} ...',
          file=sys.stderr,
        )
        if (name, plan, slots) not in made:  # Compiled once.
          made[name, plan, slots] = _asked(study, workload, name, plan, slots)
        row = dict(zip(_KEY, key, strict=True)) | {'trial': trial}
        row |= _measure(study, plan, *made[name, plan, slots], rate)
        log.append([row | environment.describe()])
      rows = _medians([row for row in log.lines if _trial(row) in wanted])
    text = _table(study, rows)
    files.write(folder / 'table.md', f'{text}\n')
    drawn = page.Figure('throughput', lambda: figure.draw(rows), '', '')
    files.write(folder / 'throughput.png', page.png(drawn, _DPI))
  return text


def _trials(study):
  """{(method, plan, slots, rate, trial)}, all of a trial before the next."""
  drafted = [
    (name, plan) for name in study.methods for plan in study.plans(name)
  ]
  trials = study.trials if study.turn_ms is None else 1
  return dict.fromkeys(
    (*of, slots, rate, trial)
    for slots, rate, trial, of in itertools.product(
      study.slots, study.rates, range(trials), drafted
    )
  )


def _trial(row):
  return *(row[name] for name in _KEY), row.get('trial', 0)


def _measure(study, plan, made, params, queue, rate) -> dict[str, Any]:
  told = {}
  if plan and made.decoder.schedule.measured:
    served = requests.waited(study.turns, rate)
    cost_A = calibration.costs_A(made, params, queue, served)
    queue = queue.replace(schedule_parameter=cost_A)
    told = {'costs': cost_A.tolist()}
  arrived_Q = requests.poisson(rate, study.num_requests, study.seed)
  seconds = None if study.turn_ms is None else study.turn_ms / 1e3
  found = requests.serve(made, params, queue, arrived_Q, study.turns, seconds)
  return requests.summary(found, made.rows, made.room) | told


def _medians(rows):
  """A row for each cell: what its last trial tells, numbers of all."""
  trials = {}
  for row in rows:
    trials.setdefault(_trial(row)[:-1], []).append(row)
  numbers = [name for name in _COLUMNS if name not in _KEY]
  return [
    own[-1]
    | {name: statistics.median(_numbers(own, name)) for name in numbers}
    | {'speeds': [row['output_throughput'] for row in own]}
    for own in trials.values()
  ]


def _numbers(rows, name):
  """Of rows that may be of a revision that did not tell it."""
  return [row.get(name, math.nan) for row in rows]


def _asked(study, workload, name, plan, slots):
  """(Slots, parameters, Queue): request i is of prompt i mod E."""
  method, plan = methods.get(name), study.plans(name)[plan]
  values = (study.alpha,) * len(method.parameters)
  setting = points.Setting(name, values, study.temperature, 1.0, 0, study.seed)
  E, Q = len(workload.examples), study.num_requests
  index_Q = np.arange(Q) % E
  width = batches.padded(workload.length_E.max())
  items = [(setting, int(e)) for e in range(E)]
  made, params, queue, _ = served.ask(
    workload, items, plan, slots, width, divergences=False
  )
  (own,) = queue.answers
  column = lambda x: np.full(Q, x[0], x.dtype)  # noqa: E731
  own = queue_lib.Answers(
    id_J=np.arange(Q, dtype=np.int32),
    prompt_J=np.arange(Q, dtype=np.int32),
    sample_J=(np.arange(Q) // E).astype(np.int32),
    temperature_J=column(own.temperature_J),
    top_p_J=column(own.top_p_J),
    values=tuple(map(column, own.values)),
    number=np.int32(Q),
  )
  queue = queue.replace(
    token_PxS=queue.token_PxS[index_Q],
    length_P=queue.length_P[index_Q],
    example_P=queue.example_P[index_Q],
    number=np.int32(Q),
    answers=(own,),
  )
  return made, params, queue


def _table(study, rows):
  cells = [[_cell(row[name]) for name in _COLUMNS] for row in rows]
  table = tables.Table(list(_COLUMNS.values()), cells)
  told = rows[-1]
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  clock = f'{study.turn_ms} ms a turn'
  if study.turn_ms is None:
    clock = 'real time, one run of each'
    if study.trials > 1:
      spread = max(max(x) / min(x) - 1 for x in (row['speeds'] for row in rows))
      clock = (
        f'real time, medians of {study.trials}, whose tokens/s differ by at '
        f'most {spread:.0%}'
      )
  return (
    f'{tables.markdown(table)}\n{told["device"]}, '
    f'{study.dtype}, {study.num_requests} requests, '
    f'temperature {study.temperature:g}, {clock}; {versions}'
  )


def _cell(x):
  if isinstance(x, str):
    return x
  return f'{x:.3g}' if abs(x) < 100 else f'{x:.0f}'
