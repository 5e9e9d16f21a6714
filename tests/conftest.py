"""Eight host devices for every test, and float64 for those that ask."""

import os

os.environ['XLA_FLAGS'] = ' '.join(
  (
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
  )
)

import jax  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(scope='module')
def float64():
  """Double precision, compiled fast rather than well, for one module."""
  flag = 'jax_disable_most_optimizations'
  before = jax.config.values[flag]
  jax.config.update(flag, True)
  with jax.enable_x64(True):
    yield
  jax.config.update(flag, before)
