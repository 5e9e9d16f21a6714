"""Streams a checkpoint into arrays, whole or in the shards of a mesh.

Each tensor is read once, in the order of the file, a box at a time. A box is
hashed, cast, tested and laid out in the host's buffers of the shards that have
a part of it; a shard goes to its devices as soon as it is full, where it may
become int8. A layer of a stack goes into its stack on the devices. So the host
holds the shards of one parameter at most, and no device holds a second copy.
"""

import collections
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from flax import traverse_util
from jax import sharding as jax_sharding

from speccascade import hosts
from speccascade import sharding as sharding_lib
from speccascade.checkpoints import file, opened, shards
from speccascade.models import base, int8, registry, tiles

_AHEAD = 2  # Boxes that are read before they are needed.


class Loaded(NamedTuple):
  """A model.

  Attributes:
    config: its configuration.
    params: its parameters.
    digest: SHA-256 of the configuration and of names, types, shapes and values
      of the tensors, as the checkpoint has them; of int8 weights, of that.
  """

  config: base.Config
  params: dict[str, Any]
  digest: str


def load(
  checkpoint: opened.Checkpoint,
  mesh: jax_sharding.Mesh | None = None,
  stacked: bool = False,
  fully: bool = False,
  weights: str | None = None,
) -> Loaded:
  """Reads the parameters of a checkpoint.

  Each process of several reads all of it, and keeps its own shards.

  Args:
    checkpoint: that was opened.
    mesh: over which the parameters are sharded, as their family tells; None is
      one device.
    stacked: whether layers are stacked, for programs that scan over them.
    fully: whether both axes of the mesh split the parameters, for training.
    weights: 'int8', of what is stored; None is the compute type.

  Raises:
    ValueError: tensors are missing, left over, damaged, not finite, or of
      another shape or type; or int8 weights are wanted for training.
  """
  int8.check(weights)
  if fully and weights is not None:
    raise ValueError(f'weights={weights!r} cannot be trained; leave them out')
  sources = opened.sources(checkpoint)
  wanted, places = _plan(
    checkpoint.config, sources, mesh, stacked, fully, weights
  )
  params, digest = {}, hashlib.sha256(checkpoint.header)
  total = sum(source.nbytes for source in sources.values())
  with progress(checkpoint.path.name, total) as bar:
    for name, boxes in _read(sources, digest, bar):
      target, step = places[name]
      for part, x in _made(sources[name], boxes, target, step, wanted).items():
        if step is None:
          params[part] = x
          continue
        if part not in params:
          params[part] = _zeros(wanted[part])()
        place = _put(wanted[part].sharding)
        params[part] = place(params.pop(part), x, step)
  _check_digest(checkpoint, digest)
  for name in () if fully else params:
    params[name] = tiles.laid_out(name.split('.')[-1], params[name])
  params = traverse_util.unflatten_dict(params, sep='.')
  digest = digest.hexdigest()
  if weights is not None:
    digest = hashlib.sha256(f'{digest} {weights}'.encode()).hexdigest()
  return Loaded(checkpoint.config, params, digest)


def _made(source, boxes, target, step, wanted):
  """Returns what is made of one tensor: {name of an array: it, or its step}."""

  def placed(name):
    whole = wanted[name].sharding
    return whole if step is None else _of_a_step(whole)

  scale = int8.scale_of(target)
  if scale not in wanted:
    dtype = wanted[target].dtype
    return {target: shards.assemble(source, boxes, placed(target), dtype)}
  # As stored: int8 is then the same whatever the compute type.
  stored = source.tensor.dtype
  dtype = stored if stored.itemsize <= 4 else np.dtype(np.float32)
  w = shards.assemble(source, boxes, placed(target), dtype)
  kind = target.split('.')[-1]
  quantise = _quantise(kind, placed(target), placed(scale))
  return dict(zip((target, scale), quantise(w), strict=True))


@functools.cache
def _quantise(name, *shardings):
  """Returns a function that makes int8 and its scale of a parameter."""
  return jax.jit(
    functools.partial(int8.quantise, name), out_shardings=shardings
  )


def verify(checkpoint: opened.Checkpoint) -> None:
  """Raises ValueError unless a checkpoint has the SHA-256 that it tells."""
  sources = opened.sources(checkpoint)
  digest = hashlib.sha256(checkpoint.header)
  total = sum(source.nbytes for source in sources.values())
  with progress(f'{checkpoint.path.name}: SHA-256', total) as bar:
    for _, boxes in _read(sources, digest, bar):
      collections.deque(boxes, maxlen=0)
  _check_digest(checkpoint, digest)


def _check_digest(checkpoint, digest):
  if checkpoint.checksum not in (None, digest.hexdigest()):
    raise ValueError(
      f'{checkpoint.path}: damaged: it does not have the SHA-256 that it '
      'tells; copy it again'
    )


def shapes(
  checkpoint: opened.Checkpoint,
  mesh: jax_sharding.Mesh | None = None,
  stacked: bool = False,
  weights: str | None = None,
) -> dict[str, Any]:
  """Returns jax.ShapeDtypeStructs of what `load` returns; reads no weights.

  Args:
    checkpoint: as of `load`.
    mesh: likewise.
    stacked: likewise.
    weights: likewise.

  Raises:
    ValueError: tensors are missing, left over, or of another shape or type.
  """
  sources = opened.sources(checkpoint)
  wanted, _ = _plan(checkpoint.config, sources, mesh, stacked, weights=weights)
  return traverse_util.unflatten_dict(wanted, sep='.')


def _plan(config, sources, mesh, stacked, fully=False, weights=None):
  """Tells what becomes of parameters.

  Returns:
    (what each array will be, {name of a parameter: (its array, its step there
    or None if it is all of it)}).
  """
  wanted = {
    name: jax.ShapeDtypeStruct(source.shape, config.dtype)
    for name, source in sources.items()
  }
  places = {name: (name, None) for name in wanted}
  for stack, names in (_stacks(config, sources) if stacked else {}).items():
    shape = len(names), *sources[names[0]].shape
    wanted[stack] = jax.ShapeDtypeStruct(shape, config.dtype)
    for step, name in enumerate(names):
      del wanted[name]
      places[name] = stack, step
  for name in filter(int8.is_quantised, list(wanted) if weights else ()):
    shape = int8.scale_shape(name, wanted[name].shape)
    wanted[int8.scale_of(name)] = jax.ShapeDtypeStruct(shape, jnp.float32)
    wanted[name] = wanted[name].update(dtype=jnp.int8)
  if mesh is None:
    return wanted, places
  shardings = sharding_lib.parameter_shardings(
    traverse_util.unflatten_dict(wanted, sep='.'),
    mesh,
    registry.family_of(config).partition,
    fully,
  )
  for name, x in traverse_util.flatten_dict(shardings, sep='.').items():
    wanted[name] = wanted[name].update(sharding=x)
  return wanted, places


def _stacks(config, sources):
  """Returns the names of the parameters of each stack, in their order."""
  names = list(sources)
  numbers = {name: jnp.int32(i) for i, name in enumerate(names)}
  tree = traverse_util.unflatten_dict(numbers, sep='.')
  stacked = registry.make_model(config).stack(tree)
  return {
    target: [names[i] for i in np.asarray(number)]
    for target, number in traverse_util.flatten_dict(stacked, sep='.').items()
    if number.ndim
  }


def _of_a_step(sharding):
  """Returns the sharding of a layer of a stack."""
  if sharding is None:
    return None
  return jax_sharding.NamedSharding(
    sharding.mesh, sharding_lib.P(*sharding.spec[1:])
  )


@functools.cache
def _zeros(like):
  """Returns a function that makes a stack of zeros."""
  make = functools.partial(jnp.zeros, like.shape, like.dtype)
  return jax.jit(make, out_shardings=like.sharding)


@functools.cache
def _put(sharding):
  """Returns a function that puts a layer into a stack, in place."""

  def put(stack, x, step):
    return jax.lax.dynamic_update_index_in_dim(stack, x, step, 0)

  return jax.jit(put, donate_argnums=0, out_shardings=sharding)


def _read(sources, digest, bar):
  """Yields each name with an iterator of (box, values), which must be used up.

  Boxes are hashed, and read some time before they are needed.
  """
  boxes = {
    name: list(source.tensor.boxes(source.region))
    for name, source in sources.items()
  }
  fetched = _ahead(
    functools.partial(sources[name].tensor.fetch, box)
    for name in sources
    for box in boxes[name]
  )

  def told(name):
    for box in boxes[name]:
      x = next(fetched)
      digest.update(file.bytes_of(x))
      yield box, x
      bar.update(x.nbytes)

  for name in sources:
    yield name, told(name)


def _ahead(calls: Iterable[Callable[[], Any]]) -> Iterator[Any]:
  """Yields what functions return, in their order; some are called ahead."""
  with futures.ThreadPoolExecutor(_AHEAD) as pool:
    waiting = collections.deque()
    for call in calls:
      waiting.append(pool.submit(call))
      if len(waiting) > _AHEAD:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()


def progress(text: str, total: int) -> tqdm.tqdm:
  """Returns a bar of bytes, for a terminal, of work that takes a while."""
  return tqdm.tqdm(
    desc=text,
    total=total,
    unit='B',
    unit_scale=True,
    delay=1,
    disable=not (hosts.is_first() and sys.stderr and sys.stderr.isatty()),
  )
