import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from speccascade import distributions, rules
from speccascade.decoding import cascade, token_cascade

pytestmark = pytest.mark.usefixtures('float64')

ALPHAS = np.linspace(0.2, 0.8, tiny.ROWS)


def _decode(alpha_B, prompts=None, sampling=None):
  return token_cascade.decode(
    token_cascade.TokenCascade(tiny.DRAFTER, tiny.VERIFIER, tiny.N, tiny.EOS),
    tiny.params(),
    prompts or tiny.prompts(),
    sampling or tiny.sampling(),
    alpha_B,
    jax.random.key(0),
  )


def _speculative(alpha_B):
  return cascade.decode(
    tiny.make_cascade(3),
    tiny.params(),
    tiny.prompts(),
    tiny.sampling(),
    rules.chow,
    alpha_B,
    jax.random.key(0),
  )


@pytest.mark.parametrize('alpha', ['mixed', 0.0, 1.0])
def test_tokens_are_the_speculative_cascade_s(alpha):
  alpha_B = ALPHAS if alpha == 'mixed' else np.full(tiny.ROWS, alpha)
  result = _decode(alpha_B)
  tiny.assert_same(result, _speculative(alpha_B))
  c = result.counts
  assert (c.verifier_calls_B >= c.deferred_B).all()
  np.testing.assert_array_equal(c.drafter_steps_B, result.length_B)
  if alpha == 'mixed':  # Rows that never call, and calls far behind.
    assert (c.verifier_calls_B == 0).any()
    some = (c.verifier_calls_B > 0) & (c.verifier_calls_B < result.length_B)
    assert some.sum() >= 3


def test_a_prompt_alone_gives_what_it_gives_in_a_batch():
  together = _decode(ALPHAS)
  for b in (0, 3, 6):
    rows = slice(b, b + 1)
    alone = _decode(
      ALPHAS[rows],
      tiny.row(tiny.prompts(), rows),
      tiny.row(tiny.sampling(), rows),
    )
    tiny.assert_same(alone, tiny.row(together, rows))


def test_catching_up_is_one_block():
  assert token_cascade._widths(1) == (1,)
  assert token_cascade._widths(4) == (1, 4)
  assert token_cascade._widths(24) == (1, 4, 16, 24)


class _Model:
  def extend(self, params, cache, token_BxT):
    with jax.named_scope('first_layer'):
      x_BxTxV = params[token_BxT] @ params
    return x_BxTxV * cache, cache + token_BxT.shape[1]


def _catch_up(params, cache, token_BxM, length_B, unsure_B, done_B):
  return token_cascade._catch_up(
    types.SimpleNamespace(verifier=_Model(), max_new_tokens=24),
    params,
    distributions.Sampling(np.ones(3), np.ones(3)),
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


@pytest.mark.parametrize('alpha', [-0.1, 1.1, np.nan])
def test_alpha_is_checked(alpha):
  with pytest.raises(ValueError, match=r'must be in \[0, 1\]'):
    _decode(np.full(tiny.ROWS, alpha))
