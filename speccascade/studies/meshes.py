"""Times pairs of published shapes, with random weights, on meshes of devices.

An iteration is told beside its parts, and beside the floor: the weights that a
device reads in it at the bandwidth of a copy, measured in the same run.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
from etils import epath

from speccascade import config, methods, sharding
from speccascade.aot import needs
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import prefill, results, schedules
from speccascade.models import presets
from speccascade.reports.render import page, scaling
from speccascade.runs import environment, memory, profiling
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import keys, probabilities
from speccascade.storage import files, lines
from speccascade.studies import shapes
from speccascade.timing import clock, loop

_KEY = 'mesh', 'prompt', 'batch'
# What a later run may have more of, or measure otherwise.
_FREE = 'meshes', 'prompts', 'batch_sizes', 'rounds', 'decode'
_TIMES = 'drafter_step', 'verifier_step', 'block', 'iteration'
_HEAD = (
  'mesh', 'S', 'batch', 'drafter step', 'verifier 1', 'block', 'iteration',
  '/ parts', 'floor', 'step / floor', 'iteration / floor', 'tokens/s', 'peak',
  'predicted',
)  # fmt: skip
_COPIED = 2**28  # Numbers of the copy, float32.
_TURNS = 17
_GIB = 2**30
_DPI = 120


class Meshes(config.Schema):
  """Meshes x prompts x batch sizes of one pair.

  Attributes:
    drafter: a name of `models.presets`.
    verifier: likewise.
    meshes: (devices that split the rows, devices that split the models) each.
    batch_sizes: rows of all devices.
    prompts: tokens of each row's prompt.
    new_tokens: most tokens of an answer.
    gamma: draft length.
    dtype: of parameters and of what is computed.
    drafter_weights: int8 for kernels and tables of the drafter in int8; None is
      `dtype`.
    verifier_weights: likewise.
    drafter_devices: that split the drafter, a divisor of those that split the
      models of every mesh; None is all.
    stacked: whether programs scan over layers; None is on a TPU only.
    rounds: timings of each loop; 0 tells of memory alone.
    decode: whether a whole decoding tells of memory before all is timed.
  """

  drafter: str = 'gemma2_2b'
  verifier: str = 'gemma2_27b'
  meshes: tuple[config.Mesh, ...] = pydantic.Field(((1, 1),), min_length=1)
  batch_sizes: tuple[config.Rows, ...] = pydantic.Field((1, 8), min_length=1)
  prompts: tuple[config.Tokens, ...] = pydantic.Field((1024,), min_length=1)
  new_tokens: config.Tokens = 128
  gamma: config.Gamma = 5
  dtype: config.Dtype = 'bfloat16'
  drafter_weights: config.Weights = None
  verifier_weights: config.Weights = None
  drafter_devices: config.Rows | None = None
  stacked: bool | None = None
  rounds: config.Count = 3
  decode: bool = True

  @pydantic.field_validator('drafter', 'verifier')
  @classmethod
  def _check_model(cls, value):
    presets.get(value)
    return value

  @pydantic.model_validator(mode='after')
  def _check_prompts(self):
    for mesh in self.meshes:
      sharding.check_splits(self.drafter_devices, mesh)
    names = self.drafter, self.verifier
    shapes.check_prompt(names, max(self.prompts), self.new_tokens)
    return self


def run(
  study: Meshes,
  workdir: epath.PathLike,
  profile: profiling.Profile | None = None,
) -> str:
  """Measures what `workdir` lacks.

  Writes cells.jsonl, table.md and scaling.png to it.

  Args:
    study: Meshes.
    workdir: the same one resumes.
    profile: of iterations of each cell.

  Returns:
    The table, times in milliseconds, memory in GiB of a device.

  Raises:
    ValueError: a mesh has more devices than there are, or `workdir` was created
      with other settings.
  """
  meshes = {own: sharding.of_config(own) for own in study.meshes}
  with workdir_lib.sole(workdir) as folder:
    workdir_lib.claim(study.to_dict(), folder / 'config.json', free=_FREE)
    with lines.Log(folder / 'cells.jsonl') as log:
      done = {_key(row) for row in log.lines}
      for own, mesh in meshes.items():
        wanted = itertools.product(study.prompts, study.batch_sizes)
        left = [cell for cell in wanted if (own, *cell) not in done]
        if left:
          for row in _measure(study, own, mesh, left, profile):
            log.append([{'mesh': list(own), **row, **environment.describe()}])
      rows = log.lines
    text = table(rows)
    files.write(folder / 'table.md', f'{text}\n')
    if timed := [row for row in rows if 'iteration' in row]:
      drawn = page.Figure('scaling', lambda: scaling.draw(timed), '', '')
      files.write(folder / 'scaling.png', page.png(drawn, _DPI))
  return text


def _key(row):
  mesh, *rest = (row[name] for name in _KEY)
  return tuple(mesh), *rest


def _measure(study, own, mesh, cells, profile):
  """Rows of one mesh, whose weights are made once."""
  bandwidth = _bandwidth()
  pair = shapes.pair(
    (study.drafter, study.verifier),
    (study.drafter_weights, study.verifier_weights),
    study.dtype,
    mesh,
    study.stacked,
    study.drafter_devices,
  )
  memory.tell('with the weights')
  read = [needs.weights(params) for params in pair.params]
  floor = {
    'drafter_step': read[0] / bandwidth * 1e3,
    'verifier_step': read[1] / bandwidth * 1e3,
  }
  steps = (study.gamma + 1) * floor['drafter_step']
  floor['iteration'] = steps + floor['verifier_step']
  cells = sorted(cells, key=lambda x: x[0] * x[1])  # So that peaks grow.
  held = {}
  if study.decode:
    held = {cell: _memory(study, pair, *cell) for cell in cells}
  for prompt, batch in cells:
    row = {'prompt': prompt, 'batch': batch, 'bandwidth': bandwidth}
    row |= {'floor': floor, **held.get((prompt, batch), {})}
    if study.rounds:
      (timed,) = loop.measure(
        pair,
        [shapes.prompts(pair, prompt, batch)],
        [schedules.Plan(study.gamma)],
        study.new_tokens,
        study.rounds,
        profile=profile and functools.partial(_named, profile, own, prompt),
        read=prefill.unread,  # Random models read noise, for minutes.
      )
      row |= {
        'drafter_step': timed.drafter_step,
        'verifier_step': timed.verifier_step,
        'block': timed.block,
        'iteration': timed.iteration,
        'overhead': timed.overhead,
        'tokens': timed.tokens,
        'compile_seconds': timed.compile_seconds,
        'spread': timed.spread,
      }
    yield row


def _named(profile, mesh, prompt, name, run):
  profile(f'mesh{"x".join(map(str, mesh))}-prompt{prompt}-{name}', run)


def _bandwidth():
  """Bytes a second that a device reads and writes where it copies."""
  x = jnp.ones(_COPIED, jnp.float32)

  def copy(times):
    for _ in range(times):
      y = jnp.copy(x)
    return y

  @jax.jit
  def add(times):  # Each turn depends on the last one, and none is skipped.
    return jax.lax.fori_loop(0, times, lambda _, x: x + 1, x)

  return max(
    2 * x.nbytes * (_TURNS - 1) / (_least(way, _TURNS) - _least(way, 1))
    for way in (copy, add)
  )


def _least(function, *args):
  """Seconds of the fastest of a few calls, the first one apart."""
  return min(clock.seconds(function, *args)[1] for _ in range(6))


def _memory(study, pair, prompt, batch):
  """Bytes of a device in a decoding: as predicted, and at the peak so far."""
  group = loop_lib.Group(methods.METHODS[loop.METHOD], batch)
  made = loop_lib.Loop(
    pair.drafter, pair.verifier, study.gamma, study.new_tokens, pair.eos_ids,
    (group,), divergences=False,
  )  # fmt: skip
  ones_B = np.ones(batch)
  request = results.Request(
    shapes.prompts(pair, prompt, batch),
    probabilities.of_rows(ones_B, ones_B),
    ((ones_B / 2,),),
    keys.make(0),
  )
  before = _peak()
  loop_lib.decode(made, pair.params, request)
  after = _peak()
  # The peak of a process never falls: one that did not grow tells nothing.
  peak = after if after and after > before else None
  lowered = sharding.on_mesh(loop_lib.lower, made, pair.params, request)
  own = lowered.compile().memory_analysis()
  predicted = sum((
    own.argument_size_in_bytes, own.temp_size_in_bytes,
    own.output_size_in_bytes, -own.alias_size_in_bytes,
  ))  # fmt: skip
  return {'peak': peak, 'predicted': predicted}


def _peak():
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get('peak_bytes_in_use')


def table(rows: list[dict[str, Any]]) -> str:
  """Returns a Markdown table, times in milliseconds, memory in GiB."""
  told = [_HEAD, ['--:'] * len(_HEAD)]
  told += [_line(row) for row in sorted(rows, key=_key)]
  text = '\n'.join('| ' + ' | '.join(line) + ' |' for line in told)
  device, version = rows[-1]['device'], rows[-1]['versions']['jax']
  speeds = sorted(row['bandwidth'] / 1e12 for row in rows)
  return (
    f'{text}\n\n{device}, jax {version}; a copy moves {speeds[0]:.2f} to '
    f'{speeds[-1]:.2f} TB/s'
  )


def _line(row):
  floor, mesh = row['floor'], '×'.join(map(str, row['mesh']))
  line = [mesh, str(row['prompt']), str(row['batch'])]
  if 'iteration' in row:
    rate = row['batch'] * row['tokens'] / row['iteration'] * 1e3
    line += [f'{row[k]:.2f}' for k in _TIMES]
    line += [f'{row["overhead"]:.2f}', f'{floor["iteration"]:.2f}']
    line += [f'{row[k] / floor[k]:.2f}' for k in ('drafter_step', 'iteration')]
    line.append(f'{rate:.0f}')
  else:
    line += ['–'] * 5 + [f'{floor["iteration"]:.2f}'] + ['–'] * 3
  for name in ('peak', 'predicted'):
    line.append(f'{row[name] / _GIB:.2f}' if row.get(name) else '–')
  return line
