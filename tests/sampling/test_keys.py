"""The generator is the same whatever JAX is set to, and seeds do not wrap."""

import jax
import numpy as np
import pytest

from speccascade.sampling import keys


def _uniforms(examples):
  key_B = keys.row_keys(keys.make(3), np.array(examples))
  return keys.uniforms(key_B, 4)


@pytest.mark.parametrize(
  ('setting', 'value'),
  [
    ('jax_default_prng_impl', 'rbg'),
    ('jax_default_prng_impl', 'unsafe_rbg'),
    ('jax_threefry_partitionable', False),
    ('jax_random_seed_offset', 7),
  ],
)
def test_global_settings_do_not_change_the_uniforms(setting, value):
  usual = _uniforms([5, 2, 9])
  before = getattr(jax.config, setting)
  jax.config.update(setting, value)
  try:
    np.testing.assert_array_equal(_uniforms([5, 2, 9]), usual)
    np.testing.assert_array_equal(_uniforms([2])[0], usual[1])
  finally:
    jax.config.update(setting, before)


def test_a_key_is_that_of_jax():
  assert keys.make(2**31 - 1) == jax.random.key(2**31 - 1)


@pytest.mark.parametrize('seed', [-1, 2**31, 2**32, 2**63])
def test_a_seed_that_would_wrap_is_refused(seed):
  with pytest.raises(ValueError, match=f'seed={seed} must be in 0'):
    keys.make(seed)


@pytest.mark.parametrize(
  'make',
  [
    lambda: jax.random.key(0, impl='rbg'),
    lambda: jax.random.PRNGKey(0),
    lambda: jax.random.split(keys.make(0), 2),
  ],
)
def test_a_key_of_another_kind_is_refused(make):
  keys.check(keys.make(0))
  with pytest.raises(ValueError, match=r'sampling\.keys\.make'):
    keys.check(make())
