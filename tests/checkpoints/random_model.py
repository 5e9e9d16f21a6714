"""Parameters of tiny models."""

import jax
import jax.numpy as jnp
import numpy as np

from speccascade.models import registry


def params(config):
  """Random values that bfloat16 has, as float32 in numpy."""
  rng = np.random.default_rng(0)

  def fill(x):
    return rng.normal(size=x.shape).astype(jnp.bfloat16).astype(np.float32)

  shapes = jax.eval_shape(registry.make_model(config).init, jax.random.key(0))
  return jax.tree.map(fill, shapes)


def assert_equal(a, b):
  """Asserts that two trees have the same structure and values."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)
