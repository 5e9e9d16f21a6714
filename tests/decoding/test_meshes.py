"""Every family and method writes the same on any layout of eight devices."""

import dataclasses

import jax
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import schedules
from speccascade.models import registry, split
from speccascade.sampling import keys
from tests.decoding import tiny

pytestmark = [
  pytest.mark.large,
  pytest.mark.usefixtures('float64'),
  pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices'),
]
_GAMMA, _NEW = 3, 24
_OTHERS = tuple(m for m in methods.METHODS if m not in tiny.DRAFTING)


@pytest.fixture(autouse=True)
def programs_of_a_test_alone():
  """With those of several models, the compiler has ended a process."""
  yield
  jax.clear_caches()


def _pair(family, example):
  """Two models of a family, alike but not equal."""
  config = dataclasses.replace(family.examples[example], dtype='float64')
  model = registry.make_model(config)
  verifier = jax.tree.map(
    lambda x: np.asarray(x, float), jax.jit(model.init)(keys.make(1))
  )
  rng = np.random.default_rng(2)
  drafter = jax.tree.map(
    lambda x: x + 0.1 * x.std() * rng.normal(size=x.shape), verifier
  )
  return model, (model.stack(drafter), verifier)


def _request(model, names):
  asked = tiny.request(names)
  token_PxS = asked.prompts.token_PxS % model.vocab_size
  return asked.replace(prompts=asked.prompts.replace(token_PxS=token_PxS))


def _decode(model, params, names, devices=None):
  """The batch under methods that share a program, on the host."""
  groups = tuple(loop_lib.Group(methods.get(x), tiny.ROWS) for x in names)
  drafts = all(x in tiny.DRAFTING for x in names)
  result = methods.decode(
    (split.over(model, devices), model), params, groups, _request(model, names),
    schedules.Plan(_GAMMA) if drafts else None, _NEW, (0,),
  )  # fmt: skip
  return jax.device_get(result)


def _placed(params, mesh, partition, devices):
  """The drafter's, split over so many devices, and the verifier's."""

  def place(x):
    return jax.device_put(x, sharding.parameter_shardings(x, mesh, partition))

  with sharding.split_by(devices):
    drafter = place(params[0])
  return drafter, place(params[1])


def _assert_same(got, want):
  """Tokens and counts are equal; sums of probabilities differ by rounding."""
  assert jax.tree.structure(got) == jax.tree.structure(want)
  for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    exact = np.issubdtype(y.dtype, np.integer) or y.dtype == bool
    np.testing.assert_allclose(x, y, rtol=0, atol=0 if exact else 1e-9)


@pytest.mark.parametrize(
  ('family', 'example'),
  [(f, i) for f in registry.FAMILIES.values() for i in range(len(f.examples))],
  ids=lambda x: getattr(x, 'name', x),
)
def test_tokens_are_those_of_one_device(family, example):
  model, params = _pair(family, example)
  together = [tiny.DRAFTING, *((name,) for name in _OTHERS)]
  want = [_decode(model, params, names) for names in together]
  assert want[0].length_B.max() == _NEW
  assert 0 < want[0].counts.accepted_B.sum() < want[0].counts.drafted_B.sum()
  for data, parts, devices in ((1, 8, 2), (2, 4, None), (8, 1, None)):
    mesh = sharding.make_mesh(data, parts, jax.devices()[:8])
    placed = _placed(params, mesh, family.partition, devices)
    for names, result in zip(together, want, strict=True):
      _assert_same(_decode(model, placed, names, devices), result)
