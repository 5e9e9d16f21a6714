"""The training step that runs, compiled from shapes for a slice."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from speccascade import sharding
from speccascade.aot import fit, program
from speccascade.models import base, registry
from speccascade.sampling import keys
from speccascade.training import config, distillation
from speccascade.training import loss as loss_lib
from speccascade.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class Cell:
  """What is trained, and on which slice.

  Attributes:
    model: its configuration, of a decoder.
    teacher: likewise, of the verifier that it is distilled from; None trains on
      the text alone.
    topology: version and slice, such as v5e:2x4.
    mesh: (devices that split the rows of a batch, devices that split the
      models).
    batch: rows of a step.
    length: tokens of a row.
  """

  model: base.Config
  teacher: base.Config | None
  topology: str
  mesh: tuple[int, int]
  batch: int
  length: int


def of(cell: Cell) -> dict[str, Any]:
  """Returns what the step of a cell needs, as `fit.memory` does.

  Raises:
    ValueError: the compiler is not installed, knows no such slice, or the mesh
      does not have its number of devices.
  """
  return fit.memory(lower(cell))


def lower(cell: Cell) -> jax.stages.Lowered:
  """Lowers the training step of a cell, with its layers stacked."""
  mesh = sharding.make_mesh(*cell.mesh, program.devices(cell.topology))
  objective, frozen = loss_lib.next_token, ()
  if cell.teacher is not None:
    teacher = registry.make_model(cell.teacher)
    # Answers that a step draws would end by a task's tokens; there is no task.
    objective = distillation.objective(teacher, 'forward_kl', 'targets', 1, ())
    made = program.initial(cell.teacher, stacked=True)
    frozen = jax.tree.map(
      lambda x: x.update(dtype=cell.teacher.dtype),
      step_lib.place(teacher, made, mesh),
    )
  settings = config.Optimizer(peak_learning_rate=1e-4, warmup_steps=1)
  own = step_lib.Step(
    registry.make_model(cell.model),
    objective,
    *step_lib.make_optimizer(settings, num_steps=2),
    mesh,
    stacked=True,
  )

  def like(dtype, spec, *shape):
    placed = jax.NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=placed)

  batch = {
    'token_BxT': like(jnp.int32, sharding.BATCH, cell.batch, cell.length),
    'weight_BxT': like(jnp.uint8, sharding.BATCH, cell.batch, cell.length),
  }
  key = like(keys.make(0).dtype, sharding.P())
  return own.lower(own.shapes(), frozen, batch, key)
