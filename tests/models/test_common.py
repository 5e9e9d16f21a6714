import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import sharding
from speccascade.models import common

pytestmark = pytest.mark.usefixtures('float64')


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('epsilon', [1e-6, 0.5])
def test_a_norm(offset, epsilon):
  rng = np.random.default_rng(0)
  x_BxTxD, scale_D = rng.normal(size=(3, 2, 5)), rng.normal(size=5)
  norm = common.RMSNorm(epsilon, offset)
  got = norm.apply({'params': {'scale': scale_D}}, x_BxTxD)
  size = np.sqrt(np.mean(x_BxTxD**2, -1, keepdims=True) + epsilon)
  want = x_BxTxD / size * (offset + scale_D)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
  params = norm.init(jax.random.key(0), x_BxTxD)['params']
  np.testing.assert_array_equal(offset + params['scale'], np.ones(5))


def test_a_norm_is_rounded_to_bfloat16_once():
  rng = np.random.default_rng(0)
  x_BxTxD = rng.normal(size=(3, 7, 33)).astype(jnp.bfloat16)
  scale_D = rng.normal(size=33)
  norm = lambda x: common.rms_norm(x, 1e-6, scale_D)  # noqa: E731
  got, want = norm(x_BxTxD), norm(x_BxTxD.astype(float))
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(got.astype(float), want, rtol=1.001 * 2**-8)


@pytest.mark.parametrize('gated', [True, False])
@pytest.mark.parametrize('activation', common.ACTIVATIONS)
def test_a_feed_forward(activation, gated):
  rng = np.random.default_rng(0)
  x_BxTxD = rng.normal(size=(3, 2, 4))
  module = common.FeedForward(6, activation, gated)
  shapes = jax.eval_shape(module.init, jax.random.key(0), x_BxTxD)['params']
  assert set(shapes) == {'up', 'down'} | ({'gate'} if gated else set())
  w = jax.tree.map(lambda x: rng.normal(size=x.shape), shapes)
  sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
  root = (2 / np.pi) ** 0.5
  activate = {
    'gelu': lambda x: x * sigmoid(2 * root * (x + 0.044715 * x**3)),
    'relu': lambda x: np.maximum(x, 0),
    'silu': lambda x: x * sigmoid(x),
  }[activation]
  up = x_BxTxD @ w['up']
  hidden = activate(x_BxTxD @ w['gate']) * up if gated else activate(up)
  got = module.apply({'params': w}, x_BxTxD)
  np.testing.assert_allclose(got, hidden @ w['down'], rtol=0, atol=1e-12)


def test_a_soft_cap():
  x = np.array([-1e9, -3.0, 0.0, 0.01, 3.0, 1e9])
  got = common.softcap(x, 5.0)
  np.testing.assert_allclose(got, 5 * np.tanh(x / 5), rtol=1e-15)
  assert np.abs(got).max() == 5


def test_many_tokens_are_looked_up_in_parts(monkeypatch):
  rng = np.random.default_rng(0)
  table_VxD, token_BxT = rng.normal(size=(50, 4)), rng.integers(0, 50, (3, 11))
  want = table_VxD[token_BxT].astype(np.float32)
  look_up = lambda: common.embed(token_BxT, jnp.asarray(table_VxD), jnp.float32)  # noqa: E731
  assert 'scan' not in str(jax.make_jaxpr(lambda: look_up())())
  np.testing.assert_array_equal(look_up(), want)
  monkeypatch.setattr(common, '_LOOKED_UP', 7 * 4)
  monkeypatch.setattr(common, '_PART', 1)
  # Seven tokens at a time, of whatever rows.
  assert '7,4]' in str(jax.make_jaxpr(lambda: look_up())())
  np.testing.assert_array_equal(look_up(), want)
  monkeypatch.setattr(common, '_LOOKED_UP', 4)  # A token.
  np.testing.assert_array_equal(look_up(), want)


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
@pytest.mark.parametrize('narrow', [False, True])
@pytest.mark.parametrize(('rows', 'part'), [(12, 7), (6, 7), (12, 2)])
def test_devices_look_up_the_tokens_of_their_own_rows(
  monkeypatch, narrow, rows, part
):
  """Whether four divide the rows or not, and where a part is of few of them."""
  monkeypatch.setattr(common, '_LOOKED_UP', 1)
  monkeypatch.setattr(common, '_PART', part)
  rng = np.random.default_rng(0)
  table_VxD, scale_V = rng.normal(size=(50, 4)), None
  want_VxD = table_VxD
  if narrow:
    table_VxD = rng.integers(-9, 9, (50, 4)).astype(np.int8)
    scale_V = rng.normal(size=50)
    want_VxD = table_VxD * scale_V[:, None]
  token_BxT = rng.integers(0, 50, (rows, 11))
  mesh = sharding.make_mesh(4, 2, jax.devices()[:8])
  with jax.set_mesh(mesh):
    own, table_VxD, scale_V = jax.tree.map(
      jnp.asarray, (token_BxT, table_VxD, scale_V)
    )
    own = jax.jit(lambda x: sharding.constrain(x, sharding.BATCH))(own)
    made = jax.jit(lambda x: common.embed(x, table_VxD, jnp.float64, scale_V))
    text = made.lower(own).compile().as_text()
    found = made(own)
  assert 'while' in text
  if (rows, part) == (12, 7):
    assert not re.search(r'all-to-all|all-gather|all-reduce|permute', text)
  np.testing.assert_array_equal(found, want_VxD[token_BxT])
