"""Device mesh, and the sharding of activations, caches and parameters.

Axis 'data' splits the rows of a batch; axis 'model' splits heads, feed-forward
width and vocabulary. A mesh has an axis for each prime factor of the latter, so
that a dimension is split as far as it can be: four heads over eight devices in
four. The rows of a cache are split over what its heads leave.
Training splits what it holds over both axes, and gathers parameters over 'data'
where it uses them (fully sharded data parallel; Rajbhandari et al., "ZeRO:
Memory Optimizations Toward Training Trillion Parameter Models", SC 2020, arXiv
1910.02054, stage 3).

Shape letters: B rows, T tokens, G draft tokens, V vocabulary, L layers,
K key-value heads, S cache slots, H head width.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import jax
import numpy as np
from absl import logging
from jax import sharding as jax_sharding

P = jax_sharding.PartitionSpec

BATCH = P('data')
HIDDEN = P('data', None, None)  # BxTxD
TABLE = P('model', None)  # VxD
ROTATIONS = P('data', None, None, None)  # BxTx1xH
HEADS = P('data', None, 'model', None)  # BxTxNxH
LOGITS = P('data', None, 'model')  # BxTxV; V is sharded until tokens are drawn.
DRAFTS = P(None, 'data', 'model')  # GxBxV
_REST = 'rest'  # The axes of 'model' that no other dimension is split over.
CACHE = P(None, ('data', _REST), 'model', None, None)  # LxBxKxSxH
STORE = P(None, None, 'model', None, None)  # A cache that rows are copied from.
_NAMES = {CACHE: 'keys LxBxKxSxH', LOGITS: 'logits BxTxV'}
# Devices that split a model, of those that 'model' has; None is all.
_SPLITTING = contextvars.ContextVar('splitting', default=None)


def make_mesh(data, model, devices=None):
  """Makes a data x model mesh over `devices`; None is all devices.

  Its axes are 'data', and 'model', 'model_1', ... for the prime factors.
  """
  devices = jax.devices() if devices is None else devices
  if data * model != len(devices):
    raise ValueError(
      f'a {data}x{model} mesh needs {data * model} devices, got {len(devices)}'
    )
  factors = _prime_factors(model) or (1,)
  names = ['model', *(f'model_{i}' for i in range(1, len(factors)))]
  return jax_sharding.Mesh(
    np.asarray(devices).reshape(data, *factors), ('data', *names)
  )


def _prime_factors(number):
  for factor in range(2, number + 1):
    if number % factor == 0:
      return factor, *_prime_factors(number // factor)
  return ()


@contextlib.contextmanager
def split_by(devices: int | None) -> Iterator[None]:
  """Splits models over so many of the devices of 'model'; None is all.

  Each part then lies on several devices, which compute the same and take turns
  with the rows of a cache. A small model waits longer for the others' sums than
  it saves by reading a part of its weights.

  Args:
    devices: a divisor of the devices that a mesh has for models.
  """
  before = _SPLITTING.set(devices)
  try:
    yield
  finally:
    _SPLITTING.reset(before)


def check_splits(drafter_devices, mesh):
  """Raises ValueError unless the devices of a drafter fit a mesh.

  Args:
    drafter_devices: as of `split_by`; None is all.
    mesh: (devices that split rows, devices that split models).
  """
  if drafter_devices is None:
    return
  if drafter_devices < 1 or mesh[1] % drafter_devices:
    raise ValueError(
      f'drafter_devices={drafter_devices} must divide the {mesh[1]} devices '
      f'that split the models on the mesh {tuple(mesh)}'
    )


def of_config(mesh):
  """Makes the mesh of a config's field `mesh`, over the first devices.

  Args:
    mesh: (devices that split the rows of a batch, devices that split the
      models).

  Raises:
    ValueError: there are fewer devices, or more in a job of several processes.
  """
  number, devices = math.prod(mesh), jax.devices()
  if jax.process_count() > 1 and number != len(devices):
    raise ValueError(
      f'mesh={mesh} takes {number} devices, and the {jax.process_count()} '
      f'processes have {len(devices)}: a mesh must take all of them'
    )
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
    if isinstance(placed, jax_sharding.NamedSharding):
      with jax.set_mesh(placed.mesh):
        return function(*args)
  return function(*args)


def rows_over(tree) -> int:
  """Returns how many devices split rows: of the mesh that arrays lie on."""
  mesh = on_mesh(lambda _: jax_sharding.get_abstract_mesh(), tree)
  return 1 if mesh.empty else mesh.shape['data']


def platform() -> str:
  """Returns that of the mesh that is set, else of the default devices."""
  device = jax_sharding.get_abstract_mesh().abstract_device
  return jax.default_backend() if device is None else device.platform


def constrain(x, spec):
  """Constrains x to `spec` inside `jax.set_mesh`; otherwise returns x."""
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  own = fit(spec, x.shape, mesh, _NAMES.get(spec))
  return jax.lax.with_sharding_constraint(x, own)


def by_rows(tree, rows):
  """Divides arrays of so many rows by them inside `jax.set_mesh`, no others.

  Args:
    tree: pytree of arrays.
    rows: B; None is of no array.
  """

  def divide(x):
    return constrain(x, BATCH if x.shape[:1] == (rows,) else P())

  return jax.tree.map(divide, tree)


def own_shape(shape, spec):
  """Returns what a device holds of a shape that `constrain` divides."""
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return tuple(shape)
  return jax.NamedSharding(mesh, fit(spec, shape, mesh)).shard_shape(shape)


def by_cache(x_BxKxQxH):
  """Moves queries, or what they found, to the rows and heads of their cache.

  Where devices share a head, and rows are few, they stay where they are.

  Args:
    x_BxKxQxH: of the Q queries of each of K key-value heads.
  """
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return x_BxKxQxH
  rows, heads, *_ = fit(CACHE[1:], x_BxKxQxH.shape, mesh)
  if set(rows if isinstance(rows, tuple) else (rows,)) <= {'data', None}:
    return x_BxKxQxH
  free = P.UNCONSTRAINED
  return jax.lax.with_sharding_constraint(x_BxKxQxH, P(rows, heads, free, free))


def whole(x):
  """Gathers the last axis of x inside `jax.set_mesh`; otherwise returns x."""
  if jax_sharding.get_abstract_mesh().empty:
    return x
  free = [P.UNCONSTRAINED] * (x.ndim - 1)
  return jax.lax.with_sharding_constraint(x, P(*free, None))


def parameter_shardings(params, mesh, partition, fully=False):
  """Returns a NamedSharding for each parameter, its spec as short as may be.

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
    lambda spec: jax_sharding.NamedSharding(mesh, _plain(spec, mesh)), specs
  )


def _plain(spec, mesh):
  """The shortest spec of those that mean the same: programs hang on it."""
  entries = []
  for entry in spec:
    axes = entry if isinstance(entry, tuple) else (entry,)
    axes = [axis for axis in axes if axis and mesh.shape[axis] > 1]
    entries.append(_entry(axes))
  while entries and entries[-1] is None:
    entries.pop()
  return P(*entries)


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
    if fully:
      own = _split(name, spec, shape, tuple(mesh.shape.items()))
    else:
      own = fit(spec, shape, mesh, name)
    return P(*stack, *own)

  return jax.tree_util.tree_map_with_path(place, params)


@functools.cache  # So that each choice is logged once.
def _split(name, spec, shape, sizes):
  """Splits one parameter over all axes of a mesh."""
  left, axes = list(shape), [[] for _ in shape]
  # 'model' first: `spec` names it.
  for axis, size in sorted(sizes, key=lambda x: x[0] == 'data'):
    plain = axis.partition('_')[0]
    named = [i for i, wanted in enumerate(spec) if wanted == plain]
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
      axes[fitting[0]].append(axis)
      left[fitting[0]] //= size
  return P(*map(_entry, axes))


def fit(spec, shape, mesh, name=None):
  """Returns the PartitionSpec of an array: its dimensions' axes that divide it.

  Args:
    spec: what each dimension is split over: 'data', 'model', or ('data',
      'rest'), which also takes the axes of 'model' that the others leave.
    shape: of the array.
    mesh: from `make_mesh`.
    name: of the array. A choice among axes is logged by it.
  """
  sizes = mesh.shape
  return _fit(spec, tuple(shape), tuple(sizes.items()), _splitting(sizes), name)


def _splitting(sizes):
  """The axes of 'model' that split models: all, or as `split_by` says."""
  model = [axis for axis in sizes if axis != 'data']
  left = _SPLITTING.get() or math.prod(sizes[axis] for axis in model)
  found = []
  for axis in model:
    if left % sizes[axis] == 0:
      found.append(axis)
      left //= sizes[axis]
  return tuple(found)


@functools.cache  # So that each choice is logged once.
def _fit(spec, shape, axes, splitting, name):
  sizes, taken = dict(axes), {}
  wanted = [x if isinstance(x, tuple) else (x,) for x in spec]
  # 'rest' is what is left when the others have theirs.
  for i in sorted(range(len(spec)), key=lambda i: _REST in wanted[i]):
    size, taken[i] = shape[i], []
    for axis in sizes:
      plain = axis.partition('_')[0]
      free = _REST in wanted[i] and all(axis not in x for x in taken.values())
      named = plain in wanted[i] and axis in (*splitting, 'data')
      named |= plain == 'model' and free
      if named and size % sizes[axis] == 0:
        taken[i].append(axis)
        size //= sizes[axis]
  named = [i for i, x in enumerate(wanted) if 'model' in x]
  rows = [i for i, x in enumerate(wanted) if 'data' in x]
  if name and any(sizes['data'] > 1 and 'data' not in taken[i] for i in rows):
    logging.warning(
      '%s %s: %d devices do not divide the %d rows, and each holds all of them',
      name,
      shape,
      sizes['data'],
      shape[rows[0]],
    )
  if name and named:
    own = {axis: sizes[axis] for axis in splitting}
    _tell(name, shape, own, taken, named)
  return P(*(_entry(taken[i]) for i in range(len(spec))))


def _entry(axes):
  return axes[0] if len(axes) == 1 else tuple(axes) or None


def _tell(name, shape, sizes, taken, named):
  """Logs how an array is split if not by the dimension that is named alone."""
  model = [axis for axis in sizes if axis != 'data']
  ways = {
    i: math.prod(sizes[x] for x in axes if x in model)
    for i, axes in taken.items()
  }
  number = math.prod(sizes[axis] for axis in model)
  if any(ways[i] < number for i in named):
    parts = [f'dimension {i} in {n}' for i, n in sorted(ways.items()) if n > 1]
    logging.warning(
      '%s %s: %d devices split %s; %d hold each part',
      name,
      shape,
      number,
      ' and '.join(parts) or 'nothing',
      number // math.prod(ways.values()),
    )
