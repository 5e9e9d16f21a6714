"""Mesh and partitioning: one table from parameter names to PartitionSpecs.

Axes: 'data' splits rows of a batch, 'model' splits heads, feed-forward width
and vocabulary. A dimension that an axis does not divide stays whole.
"""

import jax
import numpy as np
from jax import sharding as jax_sharding

P = jax_sharding.PartitionSpec

# Activations and caches.
BATCH = P('data')
LOGITS = P('data', None, 'model')  # BxTxV: V stays sharded up to the draws.
DRAFTS = P(None, 'data', 'model')  # GxBxV
CACHE = P(None, 'data', 'model', None, None)  # LxBxKxSxH

# Parameters, by the last part of their name.
PARAMETERS = {
  'embedding': P('model', None),  # VxD
  'lm_head': P('model', None),  # VxD
  'relative_bias': P(None, 'model'),  # WxN
  'query': P(None, 'model', None),  # DxNxH
  'key': P(None, 'model', None),  # DxKxH
  'value': P(None, 'model', None),  # DxKxH
  'out': P('model', None, None),  # NxHxD
  'gate': P(None, 'model'),  # DxF
  'up': P(None, 'model'),  # DxF
  'down': P('model', None),  # FxD
  'scale': P(None),  # D
}


def make_mesh(data, model, devices=None):
  """A data x model mesh over `devices` (default: all, which must match)."""
  devices = jax.devices() if devices is None else devices
  if data * model != len(devices):
    raise ValueError(
      f'mesh {data}x{model} needs {data * model} devices; '
      f'{len(devices)} are present'
    )
  return jax_sharding.Mesh(
    np.asarray(devices).reshape(data, model), ('data', 'model')
  )


def constrain(x, spec):
  """Asks the partitioner for `spec` inside `jax.set_mesh`; else nothing."""
  mesh = jax_sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  return jax.lax.with_sharding_constraint(x, _fit(spec, x.shape, mesh))


def parameter_shardings(params, mesh):
  """A NamedSharding for each parameter (arrays or ShapeDtypeStructs)."""

  def place(path, x):
    spec = PARAMETERS[path[-1].key]
    stacked = x.ndim - len(spec)  # Scanned layers lead with a layer axis.
    spec = P(*(None,) * stacked, *spec)
    return jax_sharding.NamedSharding(mesh, _fit(spec, x.shape, mesh))

  return jax.tree_util.tree_map_with_path(place, params)


def _fit(spec, shape, mesh):
  """Drops the axes that do not divide their dimension."""
  sizes = dict(mesh.shape)
  return P(
    *(
      axis if axis and size % sizes[axis] == 0 else None
      for axis, size in zip(spec, shape, strict=True)
    )
  )
