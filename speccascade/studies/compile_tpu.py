"""Compiles pairs for slices of TPU: what fits, and what an iteration costs."""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
import tqdm
from etils import epath

from speccascade import config, sharding
from speccascade.aot import chips, fit, needs, predict, program, table
from speccascade.models import presets
from speccascade.runs import workdir as workdir_lib
from speccascade.runs import workers
from speccascade.storage import files, json_text

_LEAST = 2  # Processes: one a core, of some 1.2 GB each.


class CompileTpu(config.Schema):
  """Pairs x slices x batch sizes x prompts.

  Attributes:
    pairs: names of a drafter and a verifier, of `models.presets`.
    topologies: slices, such as v5e:2x4; a version alone, v5e, stands for its
      slices that `data` and `drafter_devices` divide, of which the smallest
      that fits is taken.
    batch_sizes: rows.
    prompts: tokens that prompts are padded to, in a program each.
    new_tokens: most tokens of an answer.
    gamma: draft length.
    data: devices that split the rows; the others split the models.
    dtype: of parameters and of what is computed.
    drafter_weights: int8 for kernels and tables of the drafters in int8; None
      is `dtype`.
    verifier_weights: likewise.
    drafter_devices: that split the drafters, a divisor of those that split the
      models; None is all.
    stacked: whether programs scan over layers.
    answers: of a queue, to as many prompts, that slots serve, one a row, as a
      sweep has them: what a call of that needs is told, too, and must fit; None
      leaves it out.
  """

  pairs: tuple[tuple[str, str], ...] = pydantic.Field(min_length=1)
  topologies: tuple[str, ...] = pydantic.Field(min_length=1)
  batch_sizes: tuple[config.Rows, ...] = pydantic.Field((1,), min_length=1)
  prompts: tuple[config.Tokens, ...] = pydantic.Field((1024,), min_length=1)
  new_tokens: config.Tokens = 128
  gamma: Annotated[config.Gamma, pydantic.Field(ge=1)] = 5
  data: config.Rows = 1
  dtype: config.Dtype = 'bfloat16'
  drafter_weights: config.Weights = None
  verifier_weights: config.Weights = None
  drafter_devices: config.Rows | None = None
  stacked: bool = True
  answers: config.Rows | None = None

  @pydantic.field_validator('pairs')
  @classmethod
  def _check_pairs(cls, value):
    for name in itertools.chain.from_iterable(value):
      presets.get(name)
    return value

  @pydantic.field_validator('topologies')
  @classmethod
  def _check_topologies(cls, value):
    for name in value:
      chips.of(name if ':' in name else f'{name}:')
    return value


def run(study: CompileTpu, workdir: epath.PathLike) -> str:
  """Compiles every cell and writes table.json and table.md to `workdir`.

  Returns:
    The table.

  Raises:
    ValueError: libtpu is not installed or knows no such slice, `data` or
      `drafter_devices` does not divide its devices, or another process works
      in `workdir`.
    OSError: `workdir` cannot be written.
    futures.BrokenExecutor: a process was killed, or the compiler ended it.
  """
  rows = []
  slices = [_slices(study, name) for name in study.topologies]
  wanted = list(
    itertools.product(study.pairs, slices, study.prompts, study.batch_sizes)
  )
  for name in itertools.chain.from_iterable(slices):
    data, *model = program.mesh(name, study.data).devices.shape
    sharding.check_splits(study.drafter_devices, (data, math.prod(model)))
  with (
    workdir_lib.sole(workdir) as folder,
    tqdm.tqdm(total=len(wanted), unit='cell') as bar,
  ):
    for row in _rows(study, wanted, folder / 'programs'):
      rows.append(row)
      files.write(folder / 'table.json', json_text.dumps(rows, indent=1))
      bar.update()
    text = table.markdown(rows, study.gamma)
    files.write(folder / 'table.md', f'{text}\n')
  return text


def _rows(study, wanted, kept) -> Iterator[dict[str, Any]]:
  """The row of each cell, in order."""
  number = max(_LEAST, workers.cores())
  row = functools.partial(_row, study, kept)
  yield from workers.each(row, wanted, min(number, len(wanted)))


def _slices(study, topology):
  """The slice that is named, or those of a version, small ones first.

  Of a version whose slices are all refused the largest tells why.
  """
  if ':' in topology:
    return [topology]
  version, chip = chips.of(f'{topology}:')
  names = [f'{version}:{name}' for name in chip.slices]
  parts = study.data * (study.drafter_devices or 1)
  divided = [x for x in names if len(program.devices(x)) % parts == 0]
  return divided or names[-1:]


def _row(study, kept, wanted):
  """What the smallest of the slices that fits needs."""
  pair, slices, prompt, batch = wanted
  models = presets.alike(pair, dtype=study.dtype)
  version, chip = chips.of(slices[0])
  row = {'pair': list(pair), 'version': version, 'gamma': study.gamma}
  row['weights'] = [study.drafter_weights, study.verifier_weights]
  row |= {'prompt': prompt, 'batch': batch, 'tried': {}}
  for name in slices:
    cell = program.Cell(
      *models, name, study.data, batch, prompt, study.new_tokens,
      study.gamma, study.stacked, study.drafter_weights,
      study.verifier_weights, study.drafter_devices,
    )  # fmt: skip
    least = needs.memory(cell)
    if least > chip.hbm:
      row['tried'][name] = least
      continue
    last = own = fit.of(cell, kept)
    told = {'slice': name, 'needs': own}
    if own['fits'] and study.answers is not None:
      last = told['slots'] = fit.slots(cell, study.answers, kept)
    if last['fits']:
      times = predict.times(own, chip, study.gamma)._asdict()
      return row | told | {'times': times}
    row['tried'][name] = last.get('peak', last.get('error'))
  return row
