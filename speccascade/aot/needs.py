"""What a cell needs at least, told from its shapes.

Letters: B rows, T tokens of a block.
"""

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


def _cache(cell, config):
  model = registry.make_model(config)

  def fill(params, token_BxS, length_B):
    return model.prefill(
      params,
      token_BxS,
      length_B,
      new_tokens=cell.new_tokens,
      block=cell.gamma + 1,
    )

  token_BxS = jax.ShapeDtypeStruct((cell.batch, cell.prompt), jnp.int32)
  length_B = jax.ShapeDtypeStruct((cell.batch,), jnp.int32)
  params = program.initial(config, cell.stacked)
  return jax.eval_shape(fill, params, token_BxS, length_B)[0]


def _caches(cell, config):
  """Shapes LxBxKxSxH of keys and values."""
  return [x for x in jax.tree.leaves(_cache(cell, config)) if x.ndim == 5]


def flops(cell: program.Cell) -> dict[str, float]:
  """Flops of all devices: a drafter step, and blocks of 1 and gamma + 1."""
  found = {}
  for name, config, T in (
    ('drafter_step', cell.drafter, 1),
    ('verifier_step', cell.verifier, 1),
    ('block', cell.verifier, cell.gamma + 1),
  ):
    model = registry.make_model(config)
    params = program.initial(config, cell.stacked)
    cache = _cache(cell, config)
    block = jax.ShapeDtypeStruct((cell.batch, T), jnp.int32)
    found[name] = of_products(model.extend, params, cache, block)
  return found


def of_products(function: Callable, *args: Any) -> float:
  """Multiplications and additions of a function's products, loops counted.

  Of branches the largest counts.
  """
  return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr):
  return sum(map(_of_equation, jaxpr.eqns))


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
    return max(found)
  return sum(found) * eqn.params.get('length', 1)
