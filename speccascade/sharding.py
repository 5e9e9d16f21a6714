"""Device mesh, and the sharding of activations, caches and parameters.

Axis 'data' splits the rows of a batch; axis 'model' splits heads, feed-forward
width and vocabulary. A dimension that an axis does not divide is replicated.
Training splits what it holds over both axes, and gathers parameters over 'data'
where it uses them (fully sharded data parallel; Rajbhandari et al., "ZeRO:
Memory Optimizations Toward Training Trillion Parameter Models", SC 2020, arXiv
1910.02054, stage 3).

Shape letters: B rows, T tokens, G draft tokens, V vocabulary, L layers,
K key-value heads, S cache slots, H head width.
"""

import functools
import math

import jax
import numpy as np
from absl import logging
from jax import sharding as jax_sharding
from jax.experimental import layout as jax_layout

P = jax_sharding.PartitionSpec

BATCH = P('data')
HIDDEN = P('data', None, None)  # BxTxD
TABLE = P('model', None)  # VxD
LOGITS = P('data', None, 'model')  # BxTxV; V is sharded until tokens are drawn.
DRAFTS = P(None, 'data', 'model')  # GxBxV
CACHE = P(None, 'data', 'model', None, None)  # LxBxKxSxH
_BY_HEAD = ('query', 'key', 'value')  # Kernels DxNxH.


def make_mesh(data, model, devices=None):
  """Makes a data x model mesh over `devices`; None is all devices."""
  devices = jax.devices() if devices is None else devices
  if data * model != len(devices):
    raise ValueError(
      f'a {data}x{model} mesh needs {data * model} devices, got {len(devices)}'
    )
  return jax_sharding.Mesh(
    np.asarray(devices).reshape(data, model), ('data', 'model')
  )


def of_config(mesh):
  """Makes the mesh of a config's field `mesh`, over the first devices.

  Args:
    mesh: (devices that split the rows of a batch, devices that split the
      models).

  Raises:
    ValueError: there are fewer devices.
  """
  number, devices = math.prod(mesh), jax.devices()
  if number > len(devices):
    raise ValueError(
      f'mesh={mesh} needs {number} devices, and there are {len(devices)}: '
      'lower one of the numbers'
    )
  return make_mesh(*mesh, devices[:number])


def on_mesh(function, *args):
  """Calls a function on the mesh, if any, that its arguments lie on.

  Inside, `constrain` divides what the function makes over that mesh. A mesh
  that is set in one thread is not set in another, so that each call sets it.
  """
  for x in jax.tree.leaves(args):
    placed = getattr(x, 'sharding', None)
    if isinstance(placed, jax_sharding.NamedSharding) and placed.mesh.size > 1:
      with jax.set_mesh(placed.mesh):
        return function(*args)
  return function(*args)


def constrain(x, spec):
  """Constrains x to `spec` inside `jax.set_mesh`; otherwise returns x."""
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  return jax.lax.with_sharding_constraint(x, _fit(spec, x.shape, mesh))


def in_order(x, axes=None):
  """Lays x out in memory in an order of its axes, on a TPU; else returns x.

  Args:
    x: array.
    axes: all of them, the last one lies together; None is as they are.
  """

  def constrain(x):
    order = jax_layout.Layout(axes or tuple(range(x.ndim)))
    return jax_layout.with_layout_constraint(x, order)

  return jax.lax.platform_dependent(x, tpu=constrain, default=lambda x: x)


def laid_out(name, x, platform='tpu'):
  """Lays a parameter out in memory as the programs of its devices read it.

  A TPU reads the kernels DxNxH of attention head by head. Laid out otherwise, a
  program would begin with a copy of each, and hold it.

  Args:
    name: the last part of the parameter's name.
    x: array, or ShapeDtypeStruct of one that is placed; an array is consumed.
    platform: of the devices that read so.

  Returns:
    x in that layout; as it is on other devices.
  """
  if name not in _BY_HEAD or _platform(x) != platform:
    return x
  *stack, width, heads, head = range(x.ndim)
  order = jax_layout.Layout((*stack, heads, width, head))
  placed = jax_layout.Format(order, x.sharding)
  if isinstance(x, jax.ShapeDtypeStruct):
    return x.update(sharding=placed)
  return jax.device_put(x, placed, donate=True)


def _platform(x):
  return next(iter(x.sharding.device_set)).platform


def parameter_shardings(params, mesh, partition, fully=False):
  """Returns a NamedSharding for each parameter.

  Args:
    params: nested dict of arrays or ShapeDtypeStructs.
    mesh: from `make_mesh`.
    partition: PartitionSpec of each parameter, by the last part of its name.
      Stacked parameters have leading axes that it does not name.
    fully: whether both axes split each parameter, as training holds it: an axis
      the dimension that `partition` names, or else the longest that it divides.

  Raises:
    ValueError: the table lacks a parameter.
  """
  specs = _specs(params, mesh, partition, fully)
  return jax.tree.map(
    lambda spec: jax_sharding.NamedSharding(mesh, spec), specs
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather(params, partition):
  """Gathers parameters over 'data' inside `jax.set_mesh`; else returns them.

  Their gradients are summed over 'data' into the parts that training holds.

  Args:
    params: nested dict of arrays, however they are split.
    partition: as of `parameter_shardings`.
  """
  return _place(params, partition, fully=False)


def _gather_forward(params, partition):
  return gather(params, partition), None


def _gather_backward(partition, _, gradients):
  return (_place(gradients, partition, fully=True),)


gather.defvjp(_gather_forward, _gather_backward)


def _place(params, partition, fully):
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return params
  specs = _specs(params, mesh, partition, fully)
  return jax.lax.with_sharding_constraint(params, specs)


def _specs(params, mesh, partition, fully):
  """Returns the PartitionSpec of each parameter."""

  def place(path, x):
    name = path[-1].key
    if name not in partition:
      full = '.'.join(part.key for part in path)
      raise ValueError(f'no PartitionSpec for parameter {full}: add {name!r}')
    spec, stack = partition[name], (None,) * (x.ndim - len(partition[name]))
    shape = x.shape[len(stack) :]
    sizes = tuple(dict(mesh.shape).items())
    own = _split(name, spec, shape, sizes) if fully else _fit(spec, shape, mesh)
    return P(*stack, *own)

  return jax.tree_util.tree_map_with_path(place, params)


@functools.cache  # So that each choice is logged once.
def _split(name, spec, shape, sizes):
  """Splits one parameter over all axes of a mesh."""
  left, axes = list(shape), [() for _ in shape]
  for axis, size in reversed(sizes):  # 'model' first: `spec` names it.
    named = [i for i, wanted in enumerate(spec) if wanted == axis]
    others = sorted(set(range(len(shape))) - set(named), key=lambda i: -left[i])
    fitting = [i for i in (*named, *others) if left[i] % size == 0]
    told = f'{name} {shape}: {size} devices of {axis!r}'
    if not fitting:
      logging.warning('%s divide none of it, and each holds it whole', told)
      continue
    if named and fitting[0] != named[0]:
      logging.warning(
        '%s do not divide dimension %d, and split dimension %d of it',
        told,
        named[0],
        fitting[0],
      )
    if size > 1:
      axes[fitting[0]] += (axis,)
      left[fitting[0]] //= size
  return P(*(x[0] if len(x) == 1 else x or None for x in axes))


def _fit(spec, shape, mesh):
  """Replaces axes that do not divide their dimension by None."""
  sizes = dict(mesh.shape)
  return P(
    *(
      axis if axis and size % sizes[axis] == 0 else None
      for axis, size in zip(spec, shape, strict=True)
    )
  )
