"""The programs that run, lowered from shapes for a slice."""

import dataclasses
import functools
import importlib.util
import os
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from speccascade import methods, sharding
from speccascade.aot import chips
from speccascade.decoding import branches, results, schedules, serving
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue as queue_lib
from speccascade.models import base, int8, registry, split, tiles
from speccascade.sampling import keys, probabilities

METHOD = 'token_v3'


@dataclasses.dataclass(frozen=True)
class Cell:
  """What is decoded, and on which slice.

  Attributes:
    drafter: its configuration.
    verifier: likewise.
    topology: version and slice, such as v5e:2x4.
    data: devices that split the rows.
    batch: rows.
    prompt: tokens that prompts are padded to.
    new_tokens: most tokens of an answer.
    gamma: draft length.
    stacked: whether programs scan over layers.
    drafter_weights: 'int8', or None for the type of the configuration.
    verifier_weights: likewise.
    drafter_devices: that split the drafter, as of `sharding.split_by`.
  """

  drafter: base.Config
  verifier: base.Config
  topology: str
  data: int
  batch: int
  prompt: int
  new_tokens: int
  gamma: int
  stacked: bool = True
  drafter_weights: str | None = None
  verifier_weights: str | None = None
  drafter_devices: int | None = None

  def params(self) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the parameters of both models as shapes on the slice."""
    own = mesh(self.topology, self.data)
    with sharding.split_by(self.drafter_devices):
      drafter = shapes(self.drafter, own, self.stacked, self.drafter_weights)
    return (
      drafter,
      shapes(self.verifier, own, self.stacked, self.verifier_weights),
    )


@functools.cache
def devices(topology: str) -> tuple[Any, ...]:
  """Returns the devices of a slice, which need not be there.

  Raises:
    ValueError: libtpu is not installed or knows no such slice.
  """
  # Nobody is asked which TPU this machine has, and none is taken from others.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  version, chip = chips.of(topology)
  # Both cores of a chip are one device, as where a program runs.
  own = {'chip_config_name': 'megacore'} if version == 'v4' else {}
  try:
    found = topologies.get_topology_desc(topology, 'tpu', **own)
  except Exception as error:
    remedy = f'name a slice of {version}, such as {", ".join(chip.slices)}'
    if importlib.util.find_spec('libtpu') is None:
      remedy = "install libtpu (pip install -e '.[aot]')"
    raise ValueError(
      f'topology {topology}: {str(error).splitlines()[0][:200]}; {remedy}'
    ) from None
  return tuple(found.devices)


def mesh(topology: str, data: int) -> jax.sharding.Mesh:
  """Returns the mesh of a slice, of which `data` devices split the rows.

  Raises:
    ValueError: `data` does not divide the devices of the slice.
  """
  found = devices(topology)
  if len(found) % data:
    raise ValueError(
      f'data={data} must divide the {len(found)} devices of {topology}'
    )
  return sharding.make_mesh(data, len(found) // data, found)


@functools.cache
def initial(config: base.Config, stacked: bool) -> dict[str, Any]:
  """Returns a model's parameters as float32 shapes."""
  model = registry.make_model(config)

  def init(key):
    params = model.init(key)
    return model.stack(params) if stacked else params

  return jax.eval_shape(init, keys.make(0))


def shapes(
  config: base.Config,
  mesh: jax.sharding.Mesh,
  stacked: bool,
  weights: str | None = None,
) -> dict[str, Any]:
  """Returns a model's parameters as shapes that are placed on a mesh.

  Args:
    config: of the model.
    mesh: Mesh.
    stacked: whether layers are stacked.
    weights: 'int8', or None for the type of the configuration.
  """
  made = jax.tree.map(
    lambda x: x.update(dtype=config.dtype), initial(config, stacked)
  )
  if weights is not None:
    made = jax.eval_shape(int8.quantised, made)
  partition = registry.family_of(config).partition
  placed = sharding.parameter_shardings(made, mesh, partition)

  def place(path, x, own):
    return tiles.laid_out(path[-1].key, x.update(sharding=own))

  return jax.tree_util.tree_map_with_path(place, made, placed)


def cascade(cell: Cell) -> jax.stages.Lowered:
  """Lowers the decoding loop of a cell for its slice."""
  own = mesh(cell.topology, cell.data)
  with jax.set_mesh(own):
    return loop_lib.lower(_loop(cell), cell.params(), _request(cell, own))


def _loop(cell, schedule='fixed', method=METHOD):
  plan = schedules.Plan(cell.gamma, schedule)
  group = loop_lib.Group(methods.METHODS[method], cell.batch)
  models = (
    split.over(registry.make_model(cell.drafter), cell.drafter_devices),
    registry.make_model(cell.verifier),
  )
  return methods.make_loop(models, (group,), plan, cell.new_tokens, (1,))


def _like(own, dtype, *shape):
  """A shape that every device holds whole."""
  placed = jax.NamedSharding(own, sharding.P())
  return jax.ShapeDtypeStruct(shape, dtype, sharding=placed)


def served(
  cell: Cell,
  answers: int,
  schedule: str = 'fixed',
  method: str = METHOD,
  width: int = 1,
) -> jax.stages.Lowered:
  """Lowers a call of the loop that serves so many answers to as many prompts.

  Its slots are the rows of the cell, of one group, and hold what the call
  before left: where that lies, the compiler tells of the program that begins.
  As many prompts are read and stored at a time as in a sweep.

  Args:
    cell: Cell.
    answers: how many.
    schedule: of the drafts, fixed or load.
    method: that drafts.
    width: branches of a slot.

  Raises:
    jax.errors.JaxRuntimeError: what slots hold at first does not fit.
  """
  loop = _loop(cell, schedule, method)
  decoder = branches.Branches(loop, width) if width > 1 else loop
  made = queue_lib.slots_of(decoder, cell.batch, cell.prompt, answers)
  own = mesh(cell.topology, cell.data)
  like = functools.partial(_like, own)

  number, column = like(jnp.int32), like(jnp.float32, answers)
  integers = like(jnp.int32, answers)
  values = tuple(column for _ in methods.METHODS[method].parameters)
  if width > 1:
    each = like(jnp.float32, answers, width)
    values = integers, *(each for _ in values)
  queue = queue_lib.Queue(
    like(jnp.int32, answers, cell.prompt),
    integers,
    integers,
    number,
    (
      queue_lib.Answers(
        *[integers] * 3,
        *[column] * 2,
        values,
        number=number,
      ),
    ),
    like(keys.make(0).dtype),
    () if loop.schedule.begin is None else like(jnp.float32, cell.gamma + 2),
    asked=probabilities.TEMPERED,
  )
  params = cell.params()
  with jax.set_mesh(own):
    begun = serving.begin.lower(made, params, queue)
    state = jax.tree.map(
      lambda x, placed: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed),
      begun.out_info,
      begun.compile().output_shardings,
    )
    return serving.go_on.lower(made, params, queue, number, state)


def _request(cell, own):
  like = functools.partial(_like, own)
  B, S = cell.batch, cell.prompt
  column = like(jnp.float32, B)
  prompts = results.Prompts(
    like(jnp.int32, B, S), like(jnp.int32, B), like(jnp.int32, B)
  )
  sampling = probabilities.Sampling(
    column, column, asked=probabilities.TEMPERED
  )
  key = like(keys.make(0).dtype)
  return results.Request(prompts, sampling, ((column,),), key)
