"""Kernels as a GPU reads them: side by side, and by rows.

On a GPU a product with few rows takes as long as its kernel is read, and one of
10 MB is read at half of the bandwidth. So `fuse` puts `query`, `key` and
`value` of a layer into `query_key_value`, and `up` and `gate` into `up_gate`.
What is to be split over devices by heads or width stays apart. `by_rows` lays
kernels out for a token alone: the weights of an output in a row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speccascade.models import int8

ATTENTION = ('query', 'key', 'value'), ('query', 'key')
FEED_FORWARD = (('up', 'gate'),)
_GROUPS = {'_'.join(names): names for names in ATTENTION + FEED_FORWARD}
# The axis of each that a product does not sum over, from its last one.
_AXIS = {'query': -2, 'up': -1}  # Of L x D x N x H and L x D x F.
# Axes that it sums over come first, or last in what lies by rows.
_TURNED = {
  'query_key_value': (-3, -1),  # D, and of rows.
  'query_key': (-3, -1),
  'out': (-1, -3),  # D lies last, before N x H of rows.
  'up_gate': (-2, -1),
  'down': (-2, -1),
}
_ROWS = '_rows'
# By rows an H200 reads a token alone faster, and a block of six more slowly: in
# bfloat16 14.3 ms of 27B beside 13.8, more than its lone token gains. So those
# of so many bytes stay:
_LARGE = 2**27


def by_default(mesh: jax.sharding.Mesh | None, stacked: bool) -> bool:
  """Whether models that lie on a mesh, None for one device, are fused.

  Not those whose layers are stacked: a stack would be held twice meanwhile.
  """
  whole = mesh is None or mesh.size == mesh.shape['data']
  return whole and not stacked and jax.default_backend() == 'gpu'


def name_of(names: Iterable[str]) -> str:
  """Returns the name of the parameter that holds those of such names."""
  return '_'.join(names)


def rows_of(name: str) -> str:
  """Returns the name of a parameter whose rows are one output's weights."""
  return f'{name}{_ROWS}'


def by_rows(params: dict[str, Any]) -> dict[str, Any]:
  """Returns parameters with what was fused, `out` and `down` by rows.

  Large ones stay as they are. `params` is consumed.
  """
  for x in params.values():
    if isinstance(x, dict):
      by_rows(x)
  for name, (axis, to) in _TURNED.items():
    if name in params and params[name].nbytes < _LARGE:
      params[rows_of(name)] = jnp.moveaxis(params.pop(name), axis, to)
      if int8.scale_of(name) in params:
        scale = params.pop(int8.scale_of(name))
        params[int8.scale_of(rows_of(name))] = scale
  return params


def fuse(
  params: dict[str, Any], groups: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
  """Returns parameters with groups of them side by side; consumes `params`.

  Args:
    params: nested dict of arrays, which loses a group at a time, so that a
      device holds no second copy of more.
    groups: names of each group; the first whose names are all there counts.
  """
  for x in params.values():
    if isinstance(x, dict):
      fuse(x, groups)
  for names in groups:
    if all(name in params for name in names):
      _join(params, names, _AXIS[names[0]])
  return params


def apart(params: dict[str, Any]) -> dict[str, Any]:
  """Returns float parameters as they were before `fuse` and `by_rows`.

  Args:
    params: nested dict of arrays; those that are taken apart go to the host.
  """
  found = {}
  params = _turned_back(params)
  for name, x in params.items():
    names = _GROUPS.get(name)
    if isinstance(x, dict):
      found[name] = apart(x)
    elif names is None:
      found[name] = x
    else:
      found |= zip(names, _parts(params, names, np.asarray(x)), strict=True)
  return found


def _turned_back(params):
  found = {}
  for name, x in params.items():
    own = name.removesuffix(_ROWS)
    if own != name:
      axis, to = _TURNED[own]
      x = np.moveaxis(np.asarray(x), to, axis)
    found[own] = x
  return found


def _parts(params, names, x):
  axis, number = _AXIS[names[0]], len(names)
  total = x.shape[axis]
  # Queries have as many heads as `out`, N x H x D; the others share the rest.
  first = params['out'].shape[-3] if 'out' in params else total // number
  rest = (total - first) // (number - 1)
  return np.split(x, range(first, total, rest), axis)


def _join(params, names, axis):
  scales = [int8.scale_of(name) for name in names]
  if scales[0] in params:
    params[int8.scale_of(name_of(names))] = _taken(params, scales, axis)
  params[name_of(names)] = _taken(params, names, axis)


def _taken(params, names, axis):
  return jnp.concatenate([params.pop(name) for name in names], axis)
