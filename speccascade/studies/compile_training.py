"""Compiles training steps for slices of TPU: what of a chip each fills."""

import itertools
import math
from typing import Any

import pydantic
import tqdm
from etils import epath

from speccascade import config
from speccascade.aot import chips, program, training
from speccascade.models import presets, registry
from speccascade.runs import workdir as workdir_lib
from speccascade.storage import files, json_text

_HEAD = (
  'model', 'teacher', 'slice', 'mesh', 'batch', 'length', 'arguments',
  'temporaries', 'peak', 'of HBM',
)  # fmt: skip
_NAMES = 4  # Columns before the numbers.


class CompileTraining(config.Schema):
  """Models x slices x meshes.

  Attributes:
    models: names of `models.presets`, of decoders.
    teacher: of the verifier that each is distilled from; None trains on the
      text alone.
    topologies: slices, such as v5e:2x4.
    meshes: (devices that split the rows, devices that split the models) each.
    batch_size: rows of a step.
    length: tokens of a row.
    dtype: of what is computed; parameters and moments are float32.
  """

  models: tuple[str, ...] = pydantic.Field(min_length=1)
  teacher: str | None = None
  topologies: tuple[str, ...] = pydantic.Field(min_length=1)
  meshes: tuple[config.Mesh, ...] = pydantic.Field(min_length=1)
  batch_size: config.Rows
  length: config.Tokens
  dtype: config.Dtype = 'bfloat16'

  @pydantic.model_validator(mode='after')
  def _check_models(self):
    for name in (*self.models, *filter(None, [self.teacher])):
      family = registry.family_of(presets.get(name))
      if family.encodes_input:
        raise ValueError(f'models={name!r}: it must be a decoder')
    return self

  @pydantic.model_validator(mode='after')
  def _check_meshes(self):
    for name in self.topologies:
      chips.of(name)
    for mesh in self.meshes:
      if self.batch_size % mesh[0]:
        raise ValueError(
          f'batch_size={self.batch_size} must be a multiple of {mesh[0]}, the '
          f'devices of mesh={mesh} that split the rows'
        )
    return self


def run(study: CompileTraining, workdir: epath.PathLike) -> str:
  """Compiles every step and writes table.json and table.md to `workdir`.

  Returns:
    The table, GiB of a chip.

  Raises:
    ValueError: libtpu is not installed, knows no such slice, a mesh does not
      have its number of devices, or another process works in `workdir`.
    OSError: `workdir` cannot be written.
  """
  rows = []
  wanted = list(itertools.product(study.models, study.topologies, study.meshes))
  for _, topology, mesh in wanted:
    number = len(program.devices(topology))
    if math.prod(mesh) != number:
      raise ValueError(
        f'mesh={mesh} must have the {number} devices of {topology}'
      )
  with workdir_lib.sole(workdir) as folder:
    for cell in tqdm.tqdm(wanted, unit='step'):
      rows.append(_row(study, *cell))
      files.write(folder / 'table.json', json_text.dumps(rows, indent=1))
    text = _markdown(rows)
    files.write(folder / 'table.md', f'{text}\n')
  return text


def _row(study, model, topology, mesh) -> dict[str, Any]:
  names = [model, *filter(None, [study.teacher])]
  own, *teacher = presets.alike(names, dtype=study.dtype)
  cell = training.Cell(
    own, *(teacher or [None]), topology, mesh, study.batch_size, study.length
  )
  row = {'model': model, 'teacher': study.teacher, 'slice': topology}
  row |= {'mesh': list(mesh), 'batch': study.batch_size, 'length': study.length}
  return row | {'needs': training.of(cell)}


def _markdown(rows):
  lines = [_HEAD, [':--'] * _NAMES + ['--:'] * (len(_HEAD) - _NAMES)]
  for row in rows:
    _, chip = chips.of(row['slice'])
    own = row['needs']
    lines.append([
      row['model'], row['teacher'] or '–', row['slice'],
      '×'.join(map(str, row['mesh'])), str(row['batch']), str(row['length']),
      *(
        f'{own[name] / chips.GIB:.2f}' if name in own else '–'
        for name in ('arguments', 'temporaries', 'peak')
      ),
      f'{own["peak"] / chip.hbm:.0%}' if 'peak' in own else own['error'],
    ])  # fmt: skip
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
