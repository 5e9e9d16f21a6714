"""A T5 pair decodes as a Gemma pair does: decoding knows no family."""

import functools

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.models.t5 import config as t5_config
from speccascade.models.t5 import model as t5
from speccascade.sampling import keys, probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

V, N, EOS, ROWS = 24, 20, 5, 4
_SHARED = dict(
  vocab_size=V, embed_dim=12, num_heads=2, head_dim=6, hidden_dim=16,
  input_length=9, dtype='float64',
)  # fmt: skip
DRAFTER = t5.T5(t5_config.T5Config(num_layers=1, **_SHARED))
VERIFIER = t5.T5(t5_config.T5Config(num_layers=2, **_SHARED))
ALPHA_B = np.linspace(0.1, 0.9, ROWS)


@functools.cache
def _params():
  rng = np.random.default_rng(0)
  draw = lambda x: 0.4 * rng.normal(size=x.shape)  # noqa: E731
  drafter, verifier = (
    jax.tree.map(draw, jax.eval_shape(m.init, keys.make(0)))
    for m in (DRAFTER, VERIFIER)
  )
  return drafter, VERIFIER.stack(verifier)


def _prompts():
  token_PxS = np.random.default_rng(1).integers(2, V, (ROWS, 9))
  return results.Prompts(token_PxS, np.array([9, 1, 4, 6]), np.arange(ROWS))


def _sampling():
  return probabilities.Sampling(np.array([1, 0, 0.7, 1]), np.ones(ROWS))


NAMES = ('strict', 'token_v3', 'opt', 'drafter', 'chow')


def _values(name):
  return (ALPHA_B,) * len(methods.get(name).parameters)


def _request(prompts=None, sampling=None, names=NAMES):
  copies = len(names)
  return results.Request(
    (prompts or _prompts()).replace(copies=copies),
    jax.tree.map(lambda x: np.tile(x, copies), sampling or _sampling()),
    tuple(map(_values, names)),
    keys.make(0),
  )


def _decode(gamma, request, schedule='fixed'):
  groups = tuple(loop_lib.Group(methods.get(name), ROWS) for name in NAMES)
  loop = loop_lib.Loop(
    DRAFTER, VERIFIER, gamma, N, (EOS,), groups, schedules.get(schedule)
  )
  return jax.device_get(loop_lib.decode(loop, _params(), request))


_COST_G = 1 + 0.2 * np.arange(4)


def _by_cost(request):
  return _decode(3, request.replace(schedule_parameter=_COST_G), 'cost')


@functools.cache
def _decoded():
  return _by_cost(_request())


def _group(result, name):
  i = NAMES.index(name)
  return tiny.row(result, slice(i * ROWS, (i + 1) * ROWS))


def test_any_plan_gives_the_same_tokens():
  tiny.assert_same(_decode(0, _request()), _decoded())
  for name in NAMES:
    tokens = _group(_decoded(), name).token_BxN
    assert len({tuple(row) for row in tokens}) == ROWS


def test_a_row_gives_what_it_gives_beside_others():
  rows = [2] * ROWS
  alone = _by_cost(
    _request(tiny.row(_prompts(), rows), tiny.row(_sampling(), rows)).replace(
      values=tuple(tiny.row(_values(name), rows) for name in NAMES)
    ),
  )
  for name in NAMES:
    tiny.assert_same(
      _group(alone, name),
      tiny.row(_group(_decoded(), name), rows),
      gamma_free=False,
    )


def test_strict_at_temperature_0_is_the_verifier_alone():
  alone = methods.VERIFIER_ALONE.decode(
    (DRAFTER, VERIFIER),
    _params(),
    _request(names=('verifier_alone',)),
    N,
    (EOS,),
  )
  np.testing.assert_array_equal(
    _group(_decoded(), 'strict').token_BxN[1], alone.token_BxN[1]
  )


def test_token_cascade_is_chow():
  sequential = methods.get('token_cascade').decode(
    (DRAFTER, VERIFIER),
    _params(),
    _request(names=('token_cascade',)),
    N,
    (EOS,),
  )
  tiny.assert_same(sequential, _group(_decoded(), 'chow'))
