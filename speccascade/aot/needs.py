"""What a cell needs at least, told from its shapes.

Letters: B rows, T tokens of a block.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import sharding
from speccascade.aot import program
from speccascade.models import int8, registry


def memory(cell: program.Cell) -> int:
  """Bytes of a device that parameters and caches take, if all are divided."""
  devices = len(program.devices(cell.topology))
  total = sum(map(_share, jax.tree.leaves(cell.params())))
  for config in (cell.drafter, cell.verifier):
    total += sum(map(_size, _caches(cell, config))) // devices
  return total


def floor(cell: program.Cell) -> int:
  """Bytes of a device that an iteration must move.

  The verifier's weights and cache once, the drafter's for each of its steps.
  """
  return sum(
    times * (weights(params) + held)
    for params, held, times in zip(
      cell.params(), caches(cell), (cell.gamma + 1, 1), strict=True
    )
  )


def caches(cell: program.Cell) -> tuple[int, int]:
  """Bytes of a device that the caches of the drafter and the verifier take.

  They are divided as far as their heads and rows allow. A TPU may pad them.
  """
  own = program.mesh(cell.topology, cell.data)

  def held(config, devices):
    total = 0
    for x in _caches(cell, config):
      with sharding.split_by(devices):
        spec = sharding.fit(sharding.CACHE, x.shape, own)
      placed = jax.NamedSharding(own, spec)
      total += math.prod(placed.shard_shape(x.shape)) * x.dtype.itemsize
    return total

  return held(cell.drafter, cell.drafter_devices), held(cell.verifier, None)


def weights(params: dict[str, Any]) -> int:
  """Bytes of a device's part of the parameters that a block reads.

  Args:
    params: placed on a mesh, arrays or shapes.
  """
  return sum(
    _share(x)
    for path, x in jax.tree_util.tree_leaves_with_path(params)
    if _is_read([part.key for part in path], 'lm_head' in params)
  )


def _is_read(path, untied):
  """Whether an iteration reads a parameter, not only the prompt's reading."""
  name = path[-1].removesuffix(int8.scale_of(''))
  if 'encoder' in path or (untied and name == 'embedding'):
    return False
  return not ('cross_attention' in path and name in ('key', 'value'))


def _share(x):
  """Bytes of a device's part."""
  placed = getattr(x.sharding, 'sharding', x.sharding)
  return math.prod(placed.shard_shape(x.shape)) * x.dtype.itemsize


def _size(x):
  return x.size * x.dtype.itemsize


def _caches(cell, config):
  """Shapes LxBxKxSxH of keys and values."""
  cache = _filled(config, *_shape(cell))
  return [x for x in jax.tree.leaves(cache) if x.ndim == 5]


def _shape(cell):
  """What does not depend on the slice, so that one trace serves all."""
  return cell.stacked, cell.batch, cell.prompt, cell.new_tokens, cell.gamma + 1


@functools.cache
def _filled(config, stacked, batch, prompt, new_tokens, block):
  """Shapes of a cache that holds the prompts."""
  fill = functools.partial(
    registry.make_model(config).prefill, new_tokens=new_tokens, block=block
  )
  token_BxS = jax.ShapeDtypeStruct((batch, prompt), jnp.int32)
  length_B = jax.ShapeDtypeStruct((batch,), jnp.int32)
  params = program.initial(config, stacked)
  return jax.eval_shape(fill, params, token_BxS, length_B)[0]


def flops(cell: program.Cell) -> dict[str, float]:
  """Flops of a device: a drafter step, and blocks of 1 and gamma + 1."""
  data, *model = program.mesh(cell.topology, cell.data).devices.shape
  # Rows that do not divide are computed by all.
  rows = data if cell.batch % data == 0 else 1
  verifier = rows * math.prod(model)
  drafter = rows * (cell.drafter_devices or math.prod(model))
  return {
    name: _of_block(T, config, *_shape(cell)) / devices
    for name, config, T, devices in (
      ('drafter_step', cell.drafter, 1, drafter),
      ('verifier_step', cell.verifier, 1, verifier),
      ('block', cell.verifier, cell.gamma + 1, verifier),
    )
  }


@functools.cache
def _of_block(T, config, stacked, batch, *shape):
  """Flops of a block of T tokens."""
  params = program.initial(config, stacked)
  cache = _filled(config, stacked, batch, *shape)
  block = jax.ShapeDtypeStruct((batch, T), jnp.int32)
  extend = registry.make_model(config).extend
  return of_products(extend, params, cache, block)


def of_products(function: Callable, *args: Any) -> float:
  """Multiplications and additions of a function's products, loops counted.

  Of branches the largest counts; where platforms choose, a TPU's.
  """
  return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr):
  return sum(map(_of_equation, jaxpr.eqns))


def _of_tpu(platforms):
  named = [x is not None and 'tpu' in x for x in platforms]
  return named.index(True) if any(named) else platforms.index(None)


def _of_equation(eqn):
  if eqn.primitive.name == 'dot_general':
    (contracted, _), _ = eqn.params['dimension_numbers']
    left = eqn.invars[0].aval.shape
    size = np.prod([left[i] for i in contracted], dtype=float)
    return 2 * size * float(np.prod(eqn.outvars[0].aval.shape, dtype=float))
  inside = [
    x.jaxpr if hasattr(x, 'jaxpr') else x
    for value in eqn.params.values()
    for x in (value if isinstance(value, (tuple, list)) else (value,))
    if hasattr(x, 'jaxpr') or hasattr(x, 'eqns')
  ]
  if not inside:
    return 0.0
  found = [_flops(x) for x in inside]
  if eqn.primitive.name == 'cond':
    # A TPU's where platforms choose: a GPU is given a lone token eight times.
    platforms = eqn.params.get('branches_platforms')
    return found[_of_tpu(platforms)] if platforms else max(found)
  return sum(found) * eqn.params.get('length', 1)
