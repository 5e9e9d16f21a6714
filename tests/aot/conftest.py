import jax
import pytest


@pytest.fixture(scope='module')
def libtpu():
  """The compiler, which ends the process at a flag that it does not know."""
  jax.devices()  # Those of the host read the flags first.
  with pytest.MonkeyPatch.context() as patch:
    patch.delenv('XLA_FLAGS')
    yield
