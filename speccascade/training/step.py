"""A training step on a mesh: fully sharded data parallel.

Each device holds its part of the parameters, of their gradient and of the
optimizer's state, as `sharding` splits them over both axes of the mesh.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from speccascade import sharding
from speccascade.models import base, int8, registry
from speccascade.sampling import keys
from speccascade.training import config
from speccascade.training import loss as loss_lib

_KEPT = frozenset(  # Scales and biases; T5's biases of positions are a table.
  'scale scalar query_norm key_norm query_bias key_bias value_bias'.split()
)


@flax.struct.dataclass
class State:
  """State that a step updates.

  Attributes:
    step: updates made so far, int32.
    params: the model's parameters, float32.
    optimizer: state of the optimizer.
  """

  step: jax.Array
  params: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True)
class Step:
  """What a step does, and where.

  Attributes:
    model: is trained.
    objective: is minimised.
    optimizer: makes updates of gradients.
    schedule: learning rate of a step.
    mesh: over which all is split.
    stacked: whether the state has the model's layers stacked.
  """

  model: base.Model
  objective: loss_lib.Objective
  optimizer: optax.GradientTransformation
  schedule: optax.Schedule
  mesh: jax.sharding.Mesh
  stacked: bool = False

  def init(self, key: jax.Array, start: Any = None) -> State:
    """Returns the state of step 0.

    Args:
      key: draws the parameters.
      start: parameters to start from in place of those, which are copied.

    Raises:
      ValueError: they are int8.
    """
    int8.refuse(start, 'trained')
    placed = jax.tree.map(lambda x: x.sharding, self.shapes())
    make = jax.jit(self._init, out_shardings=placed)
    return make(key, start)

  def shapes(self) -> State:
    """Returns a state as shapes that are placed on the mesh."""
    made = jax.eval_shape(self._init, keys.make(0))
    params = place(self.model, made.params, self.mesh)
    whole = jax.NamedSharding(self.mesh, jax.P())
    optimizer = optax.tree_utils.tree_map_params(
      self.optimizer,
      lambda x, own: x.update(sharding=own.sharding),
      made.optimizer,
      params,
      transform_non_params=lambda x: x.update(sharding=whole),
    )
    return State(made.step.update(sharding=whole), params, optimizer)

  def lower(
    self, state: State, frozen: Any, batch: Mapping[str, Any], key: Any
  ) -> jax.stages.Lowered:
    """Lowers the step: (state, frozen, batch, key) -> (state, values by name).

    Args:
      state: is donated.
      frozen: parameters that the objective takes and no step changes.
      batch: arrays of `data.Examples.rows`.
      key: of all steps' draws.
    """
    placed = jax.tree.map(lambda x: x.sharding, self.shapes())
    whole = jax.NamedSharding(self.mesh, jax.P())
    step = jax.jit(
      functools.partial(_step, self, placed.params),
      donate_argnums=0,
      out_shardings=(placed, whole),
    )
    return sharding.on_mesh(step.lower, state, frozen, batch, key)

  def _init(self, key, start=None):
    params = self.model.init(key) if start is None else start
    # Copied: a step reuses the memory of the state that it is given.
    params = jax.tree.map(jnp.copy, params)
    params = self.model.stack(params) if self.stacked else params
    return State(jnp.zeros((), jnp.int32), params, self.optimizer.init(params))


def place(model: base.Model, shapes: Any, mesh: jax.sharding.Mesh) -> Any:
  """Returns parameters as shapes that are placed on a mesh, fully split."""
  partition = registry.family_of(model.config).partition
  placed = sharding.parameter_shardings(shapes, mesh, partition, fully=True)
  return jax.tree.map(lambda x, own: x.update(sharding=own), shapes, placed)


def make_optimizer(
  settings: config.Optimizer, num_steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Returns AdamW with clipped gradients, and the learning rate of a step.

  The rate rises linearly and falls to zero along a cosine. Scales, of norms
  and of layers, and biases of products are not decayed.

  Args:
    settings: of the optimizer.
    num_steps: steps of the whole run.
  """
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=settings.peak_learning_rate,
    warmup_steps=settings.warmup_steps,
    decay_steps=num_steps,
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(settings.clip_norm),
    optax.adamw(
      schedule,
      b1=settings.b1,
      b2=settings.b2,
      weight_decay=settings.weight_decay,
      mask=_decayed,
    ),
  )
  return optimizer, schedule


def _decayed(params):
  # By name: scanned layers stack their scales into arrays of two dimensions.
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key not in _KEPT, params
  )


def _step(own, placed, state, frozen, batch, key):
  # The key depends on the step alone, so that a resumed run draws the same.
  key = jax.random.fold_in(key, state.step)

  def loss_fn(params):
    means = loss_lib.mean(own.objective(own.model, params, frozen, batch, key))
    return means['loss'], means

  gradient, values = jax.grad(loss_fn, has_aux=True)(state.params)
  gradient = jax.lax.with_sharding_constraint(gradient, placed)
  updates, optimizer_state = own.optimizer.update(
    gradient, state.optimizer, state.params
  )
  params = optax.apply_updates(state.params, updates)
  # A norm that overflows would clip its gradient to zero.
  made = values['loss'], optax.global_norm(gradient), params, optimizer_state
  rate = own.schedule(state.step)
  values |= {'learning_rate': rate, 'finite': _finite(made)}
  return State(state.step + 1, params, optimizer_state), values


def _finite(tree):
  return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()
