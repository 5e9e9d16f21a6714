"""Stacks the parameters of layers for a scan, and takes them apart again.

Parameters have a name a layer: `layers_0`, `layers_1`, .... A program that is
to scan over them needs stacks. In place of those of a dict, `stack` puts
`stack_0` to `stack_{P-1}`, one a position of a period of P layers, whose arrays
have a leading axis of steps: index s of `stack_j` is `layers_{s * P + j}`.
Layers that do not fill a period keep their names.
"""

import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp


def stack(params: dict[str, Any], period: int) -> dict[str, Any]:
  """Returns the parameters with all whole periods of layers stacked.

  Args:
    params: nested dict of arrays.
    period: P, after how many layers their shapes and kinds repeat.
  """
  if not isinstance(params, dict):
    return params
  layers = count(params)
  steps = layers // period
  stacked = {
    f'stack_{j}': jax.tree.map(
      lambda *x: jnp.stack(x),
      *(params[f'layers_{s * period + j}'] for s in range(steps)),
    )
    for j in range(period if steps else 0)
  }
  gone = {f'layers_{i}' for i in range(steps * period)}
  rest = {k: stack(v, period) for k, v in params.items() if k not in gone}
  return rest | stacked


def unstack(params: dict[str, Any]) -> dict[str, Any]:
  """Returns the parameters with a name a layer: the inverse of `stack`."""
  if not isinstance(params, dict):
    return params
  stacks = stacks_of(params)
  rest = {k: unstack(v) for k, v in params.items() if not _is_stack(k)}
  return rest | {
    f'layers_{s * len(stacks) + j}': jax.tree.map(lambda x, s=s: x[s], x)
    for j, x in enumerate(stacks)
    for s in range(_steps(stacks))
  }


def count(params: dict[str, Any]) -> int:
  """Returns how many layers of a dict have parameters of their own."""
  return sum(bool(re.fullmatch(r'layers_\d+', name)) for name in params)


def stacks_of(params: dict[str, Any]) -> tuple[dict[str, Any], ...]:
  """Returns the stacks of a dict in their order; () if there are none."""
  number = sum(map(_is_stack, params))
  return tuple(params[f'stack_{j}'] for j in range(number))


def tail(params: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields (index, parameters) of each layer that is not in a stack."""
  stacks = stacks_of(params)
  first = len(stacks) * _steps(stacks)
  for i in range(first, first + count(params)):
    yield i, params[f'layers_{i}']


def steps(params: dict[str, Any]) -> int:
  """Returns the length of the leading axis of stacks; 0 if there are none."""
  return _steps(stacks_of(params))


def _steps(stacks):
  return jax.tree.leaves(stacks)[0].shape[0] if stacks else 0


def _is_stack(name):
  return bool(re.fullmatch(r'stack_\d+', name))
