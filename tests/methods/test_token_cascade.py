"""The sequential cascade, against the speculative one with chow's rule."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.methods import token_cascade
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

METHOD = methods.get('token_cascade')


def _request(alpha_B):
  return tiny.request((METHOD.name,)).replace(values=((alpha_B,),))


def _decode(request):
  models = tiny.DRAFTER, tiny.VERIFIER
  return jax.device_get(
    METHOD.decode(models, tiny.params(), request, tiny.N, (tiny.EOS,))
  )


def test_tokens_are_the_speculative_cascade_s():
  (alpha_B,) = tiny.values('chow')
  result = _decode(_request(alpha_B))
  tiny.assert_same(result, tiny.decode('chow', 3))
  c = result.counts
  assert (c.verifier_calls_B >= c.deferred_B).all()
  np.testing.assert_array_equal(c.drafter_steps_B, result.length_B)
  # Calls at each token, and calls far behind.
  some = (c.verifier_calls_B > 0) & (c.verifier_calls_B < result.length_B)
  assert some.sum() >= 3


@pytest.mark.parametrize(('alpha', 'end'), [(0.0, 'strict'), (1.0, 'drafter')])
def test_the_ends_are_strict_and_the_drafter(alpha, end):
  result = _decode(_request(np.full(tiny.ROWS, alpha)))
  tiny.assert_same(result, tiny.decode(end, 3))
  calls_B = result.length_B if end == 'strict' else 0
  np.testing.assert_array_equal(result.counts.verifier_calls_B, calls_B)


def test_a_row_gives_what_it_gives_beside_others():
  (alpha_B,) = tiny.values(METHOD.name)
  together = _decode(_request(alpha_B))
  assert (together.counts.verifier_calls_B == 0).any()
  for b in range(tiny.ROWS):
    rows = [b] * tiny.ROWS
    alone = _decode(tiny.alone(_request(alpha_B), b))
    tiny.assert_same(alone, tiny.row(together, rows))


def test_catching_up_is_one_block():
  assert token_cascade._widths(1) == (1,)
  assert token_cascade._widths(4) == (1, 4)
  assert token_cascade._widths(24) == (1, 4, 16, 24)


class _Model:
  def extend(self, params, cache, token_BxT, at_B):
    with jax.named_scope('first_layer'):
      x_BxTxV = params[token_BxT] @ params
    x_Bx1xV = jnp.take_along_axis(x_BxTxV, at_B[:, None, None], 1)
    return x_Bx1xV * cache, cache + token_BxT.shape[1]


def _catch_up(params, cache, token_BxM, length_B, unsure_B, done_B):
  return token_cascade._catch_up(
    types.SimpleNamespace(verifier=_Model(), max_new_tokens=24),
    params,
    types.SimpleNamespace(
      token_BxM=token_BxM,
      length_B=length_B,
      seen_B=jnp.zeros_like(length_B),
      done_B=done_B,
      verifier_cache=cache,
    ),
    unsure_B,
    jnp.zeros((3, 1, 32), params.dtype),
  )


_PARAMS, _TOKENS = jnp.ones((32, 32)), jnp.zeros((3, 25), int)


def test_a_width_that_is_not_chosen_costs_nothing():
  """What a block alone decides is computed in the loop of its width."""
  state = jnp.ones(3, int), jnp.ones(3, bool), jnp.zeros(3, bool)
  program = jax.jit(_catch_up).lower(_PARAMS, 1.0, _TOKENS, *state)
  before, after = program.compile().as_text().split('ENTRY')
  assert 'first_layer' in before
  assert 'first_layer' not in after


@pytest.mark.parametrize(
  ('unsure', 'read', 'width'),
  [((1, 0, 0), (4, 4, 0), 4), ((0, 1, 0), (4, 10, 0), 16), ((0,) * 3, 0, 0)],
)
def test_rows_read_along_in_the_block_of_another(unsure, read, width):
  length_B, done_B = jnp.array([3, 9, 5]), jnp.array([False, False, True])
  _, cache, read_B = _catch_up(
    _PARAMS, 1.0, _TOKENS, length_B, jnp.array(unsure, bool), done_B
  )
  np.testing.assert_array_equal(read_B, np.broadcast_to(read, 3))
  assert cache == 1 + width


def _loops(jaxpr, scope, depth=0):
  """How many loops lie around each operation of a scope."""
  for eqn in jaxpr.eqns:
    if scope in str(eqn.source_info.name_stack):
      yield depth
    inner = depth + (eqn.primitive.name == 'while')
    for own in jax.tree.leaves(
      eqn.params, is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')
    ):
      own = getattr(own, 'jaxpr', own)
      if hasattr(own, 'eqns'):
        yield from _loops(own, scope, inner)


def test_the_verifier_is_sampled_from_where_it_is_asked_alone(monkeypatch):
  residual = jax.named_scope('residual')(token_cascade.draws.residual)
  monkeypatch.setattr(token_cascade.draws, 'residual', residual)
  models, N = (tiny.DRAFTER, tiny.VERIFIER), tiny.N + 1  # Not traced before.
  decoder, params = METHOD.slots(models, tiny.params(), N, (tiny.EOS,))
  (alpha_B,) = tiny.values('chow')
  decode = token_cascade._decode.__wrapped__
  program = jax.make_jaxpr(decode, static_argnums=0)(
    decoder, params, _request(alpha_B)
  )
  # That of all tokens, and one of at most a turn within.
  assert set(_loops(program.jaxpr, 'residual')) == {2}
