"""Plain decoding, fixed drafts and drafts by the load, at batch sizes.

Pairs have published shapes and random weights; how many drafts stand is forced.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
from etils import epath

from speccascade import config, sharding
from speccascade.decoding import autoregressive, load, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue as queue_lib
from speccascade.models import presets
from speccascade.reports.render import tables
from speccascade.runs import environment, memory
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import keys, probabilities
from speccascade.storage import files, lines
from speccascade.studies import shapes
from speccascade.timing import calibration, forced, requests

_READ = 1024  # Tokens of a turn, of prompts.
_WAVES = 2  # Answers a slot.
_TURNS = 32  # Of a call.
_FREE = 'batch_sizes', 'acceptances'  # What a later run may have more of.
_HEAD = (
  'batch', 'accepted', 'plain', 'best fixed', 'drafts', 'load',
  'load / plain', 'load / best fixed',
)  # fmt: skip


class Load(config.Schema):
  """Batch sizes x rates of acceptance of one pair.

  Attributes:
    drafter: a name of `models.presets`.
    verifier: likewise.
    drafter_weights: int8 for kernels and tables in int8; None is `dtype`.
    verifier_weights: likewise.
    dtype: of parameters and of what is computed.
    mesh: (devices that split the rows, devices that split the models).
    batch_sizes: slots.
    acceptances: chance that a draft stands, given those before it do.
    prompt: tokens of each prompt.
    new_tokens: of each answer.
    gamma: longest draft.
  """

  drafter: str = 'gemma2_2b'
  verifier: str = 'gemma2_27b'
  drafter_weights: config.Weights = None
  verifier_weights: config.Weights = None
  dtype: config.Dtype = 'bfloat16'
  mesh: config.Mesh = (1, 1)
  batch_sizes: tuple[config.Rows, ...] = pydantic.Field(
    (1, 4, 16, 64, 256), min_length=1
  )
  acceptances: tuple[config.Probability, ...] = pydantic.Field(
    (0.5, 0.7, 0.9), min_length=1
  )
  prompt: config.Tokens = 64
  new_tokens: config.Tokens = 128
  gamma: config.Gamma = 5

  @pydantic.field_validator('drafter', 'verifier')
  @classmethod
  def _check_model(cls, value):
    presets.get(value)
    return value

  @pydantic.model_validator(mode='after')
  def _check_prompt(self):
    names = self.drafter, self.verifier
    shapes.check_prompt(names, self.prompt, self.new_tokens)
    return self


def run(study: Load, workdir: epath.PathLike) -> str:
  """Measures what `workdir` lacks; writes cells.jsonl and table.md to it.

  Returns:
    The table, tokens a second.

  Raises:
    ValueError: the mesh has more devices than there are, or `workdir` was
      created with other settings.
  """
  mesh = sharding.of_config(study.mesh)
  with workdir_lib.sole(workdir) as folder:
    workdir_lib.claim(study.to_dict(), folder / 'config.json', free=_FREE)
    with lines.Log(folder / 'cells.jsonl') as log:
      done = {(row['batch'], row['acceptance']) for row in log.lines}
      left = {
        batch: [x for x in study.acceptances if (batch, x) not in done]
        for batch in study.batch_sizes
      }
      if any(left.values()):
        pair = shapes.pair(
          (study.drafter, study.verifier),
          (study.drafter_weights, study.verifier_weights),
          study.dtype,
          mesh,
        )
        memory.tell('with the weights')
      for batch, rates in left.items():
        if rates:
          print(f'batch {batch} ...', file=sys.stderr)
          for row in _measure(study, pair, batch, rates):
            log.append([row | environment.describe()])
      text = table(log.lines)
    files.write(folder / 'table.md', f'{text}\n')
  return text


def _measure(study, pair, batch, acceptances) -> Iterator[dict[str, Any]]:
  """Yields the row of each rate."""
  alone = _slots(study, pair, batch, None)
  plain = _speed(study, alone, pair.params[1:], _queue(study, pair, batch))
  made = _slots(study, pair, batch, schedules.LOAD)
  asked = {x: _queue(study, pair, batch, x) for x in acceptances}
  served = requests.waited(_TURNS, rate=0)
  cost_A = calibration.costs_A(made, pair.params, asked[max(asked)], served)
  G = study.gamma + 1
  for acceptance, queue in asked.items():
    speed = lambda cost_A, queue=queue: _speed(  # noqa: E731
      study, made, pair.params, queue.replace(schedule_parameter=cost_A)
    )
    fixed = {str(d): speed(load.forced(d, G)) for d in range(1, G + 1)}
    yield {
      'batch': batch,
      'acceptance': acceptance,
      'plain': plain,
      'fixed': fixed,
      'load': speed(cost_A),
      'costs': cost_A.tolist(),
    }


def _slots(study, pair, batch, schedule):
  if schedule is None:
    decoder = autoregressive.Autoregressive(
      pair.verifier, study.new_tokens, pair.eos_ids, 'verifier'
    )
  else:
    decoder = loop_lib.Loop(
      pair.drafter,
      pair.verifier,
      study.gamma,
      study.new_tokens,
      pair.eos_ids,
      (loop_lib.Group(forced.Forced(), batch),),
      schedule,
      divergences=False,
    )
  reading = max(1, min(_READ // study.prompt, batch))
  return queue_lib.Slots(
    decoder,
    rows=batch,
    width=study.prompt,
    reading=reading,
    stored=2 * reading,
    table=2 * batch,
  )


def _queue(study, pair, batch, acceptance=None):
  """Answers to prompts of their own; of the verifier alone, or so accepted."""
  Q = _WAVES * batch
  prompts = shapes.prompts(pair, study.prompt, Q)
  place_J = np.arange(Q, dtype=np.int32)
  answers = queue_lib.Answers(
    id_J=place_J,
    prompt_J=place_J,
    sample_J=np.zeros(Q, np.int32),
    temperature_J=np.zeros(Q),
    top_p_J=np.ones(Q),
    values=() if acceptance is None else (np.full(Q, acceptance),),
    number=np.int32(Q),
  )
  return queue_lib.Queue(
    *(prompts.token_PxS, prompts.length_P, prompts.example_P),
    np.int32(Q),
    (answers,),
    keys.make(0),
    asked=probabilities.BEST,
  )


def _speed(study, made, params, queue):
  """Tokens a second of all slots."""
  arrived_Q = np.zeros(int(queue.number))
  served = requests.serve(made, params, queue, arrived_Q, _TURNS)
  return requests.summary(served, made.rows, made.room)['output_throughput']


def table(rows: list[dict[str, Any]]) -> str:
  """Returns a Markdown table, tokens a second."""
  lines_ = []
  for row in sorted(rows, key=lambda x: (x['batch'], x['acceptance'])):
    drafts, best = max(row['fixed'].items(), key=lambda x: x[1])
    lines_.append(
      [
        str(row['batch']),
        f'{row["acceptance"]:g}',
        *(f'{x:.0f}' for x in (row['plain'], best)),
        drafts,
        f'{row["load"]:.0f}',
        *(f'{row["load"] / x:.2f}' for x in (row['plain'], best)),
      ]
    )
  device, version = rows[-1]['device'], rows[-1]['versions']['jax']
  text = tables.markdown(tables.Table(list(_HEAD), lines_))
  return f'{text}\n{device}, jax {version}'
