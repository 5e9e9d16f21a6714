"""Several tokens may end an answer, whichever model draws them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import autoregressive, eos, schedules
from speccascade.decoding import loop as loop_lib
from tests.decoding import table_model, tiny

pytestmark = pytest.mark.usefixtures('float64')

V, EOS, NOTHING = 32, (16, 9), (-1,)
MODELS = (table_model.TableModel(V),) * 2
# Where the loop cannot know the method: no parameter, one, two, no rule.
DRAFTING = (*tiny.FORMS, 'bild_rollback')
ALONE = ('drafter_alone', 'verifier_alone', 'token_cascade')


@functools.cache
def _tables():
  """(drafter's, verifier's): alike but far from equal; both ends are drawn."""
  verifier, noise = (table_model.table(V, seed, 2.0) for seed in (0, 1))
  verifier[..., EOS] += 1
  return verifier + 0.3 * noise, verifier


def _loop(eos_ids, names=DRAFTING, schedule='fixed'):
  loop = tiny.make_loop(3, names, schedule=schedules.get(schedule))
  drafter, verifier = MODELS
  return dataclasses.replace(
    loop, drafter=drafter, verifier=verifier, eos_ids=eos_ids
  )


@functools.cache
def _drafting(eos_ids):
  """The ragged batch under each of these methods."""
  return jax.device_get(
    loop_lib.decode(_loop(eos_ids), _tables(), tiny.request(DRAFTING))
  )


@functools.cache
def _decode(name, eos_ids):
  if name in DRAFTING:
    return tiny.group(_drafting(eos_ids), DRAFTING.index(name))
  decode = methods.get(name).decode
  request = tiny.request((name,))
  return jax.device_get(
    decode(MODELS, _tables(), request, tiny.N, eos_ids=eos_ids)
  )


@pytest.mark.parametrize('name', [*DRAFTING, *ALONE])
def test_a_row_is_cut_after_the_first_token_that_ends_it(name):
  result, endless = _decode(name, EOS), _decode(name, NOTHING)
  assert (endless.length_B == tiny.N).all()
  last_B = []
  for b, row in enumerate(endless.token_BxN):
    ends = np.flatnonzero(np.isin(row, EOS))
    n = ends[0] + 1 if len(ends) else tiny.N
    assert result.length_B[b] == n
    np.testing.assert_array_equal(result.token_BxN[b, :n], row[:n])
    assert (result.token_BxN[b, n:] == 0).all()
    last_B.append(row[n - 1])
  assert {*EOS} < {*last_B}  # Either end, and none.


def test_of_one_token_a_set_cuts_less():
  by_one, by_two = (_decode('strict', x) for x in (EOS[:1], EOS))
  assert (by_one.length_B >= by_two.length_B).all()
  assert (by_one.length_B > by_two.length_B).any()
  assert (by_one.token_BxN == EOS[1]).any()


def test_a_draft_ends_with_any_of_them():
  names = ('drafter',)
  result = loop_lib.decode(
    _loop(EOS, names, 'confidence'),
    _tables(),
    tiny.request(names, schedule_parameter=np.zeros(tiny.ROWS)),
  )
  for token in EOS:
    ended_B = np.any(result.token_BxN == token, 1)
    assert ended_B.any()
    np.testing.assert_array_equal(
      result.counts.drafted_B[ended_B], result.length_B[ended_B]
    )


def test_one_token_is_compared_once_and_several_by_no_table():
  token_BxG = jnp.zeros((3, 4), jnp.int32)
  program = lambda eos_ids: str(  # noqa: E731
    jax.make_jaxpr(lambda x: eos.ends(x, eos_ids))(token_BxG)
  )
  assert program((5,)) == str(jax.make_jaxpr(lambda x: x == 5)(token_BxG))
  assert program((5, 7, 9)).count(' eq ') == 3
  assert 'gather' not in program((5, 7, 9))


@pytest.mark.parametrize('eos_ids', [(), 5, [5]])
def test_what_is_no_set_of_tokens_is_refused_before_any_compile(eos_ids):
  message = f'^eos_ids must be a tuple of at least one token, got .*{eos_ids}'
  message = message.replace('(', r'\(').replace(')', r'\)').replace('[', r'\[')
  with pytest.raises(ValueError, match=message):
    _loop(eos_ids)
  with pytest.raises(ValueError, match=message):
    autoregressive.Autoregressive(MODELS[0], 4, eos_ids)
  for name in ('sequence_mean', *ALONE):
    request = tiny.request((name,))
    with pytest.raises(ValueError, match=message):
      methods.get(name).decode(MODELS, _tables(), request, 4, eos_ids)
