"""Rows end with the token by which a stop string is written."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import schedules, stops
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

V = 32
# Tokens are letters here: a row ends with two of one half, one of the other.
STOPS = stops.Stops(
  np.array(
    [np.arange(V) < 14, 2 * (np.arange(V) < 14), [3] * 14 + [2] * 4 + [3] * 14]
    + [[3] * V]
  ).astype(np.int16)
)
NEVER = stops.Stops(np.zeros_like(STOPS.next_SxV))  # By the same programs.
DRAFTING = (*tiny.FORMS, 'bild_rollback')
ALONE = ('drafter_alone', 'verifier_alone', 'token_cascade')


@functools.cache
def _drafting(asked, gamma=3, schedule='fixed'):
  """The ragged batch under each of these methods."""
  loop = tiny.make_loop(gamma, DRAFTING, schedule=schedules.get(schedule))
  request = tiny.request(DRAFTING, stops=STOPS if asked else NEVER)
  return jax.device_get(loop_lib.decode(loop, tiny.params(), request))


@functools.cache
def _decode(name, asked):
  if name in DRAFTING:
    return tiny.group(_drafting(asked), DRAFTING.index(name))
  request = tiny.request((name,), stops=STOPS if asked else NEVER)
  models = tiny.DRAFTER, tiny.VERIFIER
  return jax.device_get(
    methods.get(name).decode(
      models, tiny.params(), request, tiny.N, (tiny.EOS,)
    )
  )


def _cut(row, length):
  """How many tokens of a row there are up to the end of a stop string."""
  state = 0
  for n, token in enumerate(row[:length], 1):
    state = STOPS.next_SxV[state, token]
    if state == len(STOPS.next_SxV) - 1:
      return n
  return length


@pytest.mark.parametrize('name', [*DRAFTING, *ALONE])
def test_a_row_is_cut_after_the_token_that_completes_one(name):
  whole, result = _decode(name, False), _decode(name, True)
  length_B = [_cut(*own) for own in zip(whole.token_BxN, whole.length_B)]  # noqa: B905
  np.testing.assert_array_equal(result.length_B, length_B)
  assert (result.length_B < whole.length_B).sum() >= 3
  assert len({*length_B}) >= 3
  for b, n in enumerate(length_B):
    np.testing.assert_array_equal(
      result.token_BxN[b, :n], whole.token_BxN[b, :n]
    )
    assert not result.token_BxN[b, n:].any()
  if result.from_drafter_BxN is not None:
    for b, n in enumerate(length_B):
      assert not result.from_drafter_BxN[b, n:].any()
    counts = result.counts
    np.testing.assert_array_equal(
      counts.accepted_B + counts.rejected_B, result.length_B
    )


@pytest.mark.parametrize(
  ('gamma', 'schedule'),
  [(1, 'fixed'), pytest.param(8, 'adaptive', marks=pytest.mark.thorough)],
)
def test_where_a_row_ends_does_not_depend_on_the_drafts(gamma, schedule):
  for row in range(len(tiny.FORMS)):  # The text of the last does depend.
    a, b = (
      tiny.group(result, row)
      for result in (_drafting(True), _drafting(True, gamma, schedule))
    )
    np.testing.assert_array_equal(a.token_BxN, b.token_BxN)
    np.testing.assert_array_equal(a.length_B, b.length_B)


def test_a_cascade_of_answers_reads_each_from_its_beginning():
  cascade, alone = (
    _decode(name, True) for name in ('sequence_mean', 'drafter_alone')
  )
  other = _decode('verifier_alone', True)
  kept_B = cascade.from_drafter_BxN.any(1)
  assert 0 < kept_B.sum() < len(kept_B)
  length_B = np.where(kept_B, alone.length_B, other.length_B)
  np.testing.assert_array_equal(cascade.length_B, length_B)


def test_tokens_are_read_one_after_the_other():
  token_BxT = jnp.array([[1, 20, 1, 1], [20, 1, 15, 2], [20, 20, 20, 20]])
  state_B = stops.init(STOPS, 3)
  state_BxT, ended_BxT = stops.read(STOPS, state_B, token_BxT)
  np.testing.assert_array_equal(
    state_BxT, [[1, 0, 1, 2], [0, 1, 0, 1], [0, 0, 0, 0]]
  )
  assert not ended_BxT.any()
  state_B = stops.after(state_B, state_BxT, jnp.array([4, 0, 2]))
  np.testing.assert_array_equal(state_B, [2, 0, 0])
  _, ended_BxT = stops.read(
    STOPS, state_B, jnp.array([[15, 3], [1, 1], [1, 1]])
  )
  np.testing.assert_array_equal(
    ended_BxT, [[False, True], [False, False], [False, False]]
  )


def test_without_stops_nothing_is_kept():
  assert stops.init((), 3) == ()
  state, ended_BxT = stops.read((), (), jnp.zeros((3, 2), int))
  assert state == ()
  assert not ended_BxT.any()
  assert stops.after((), (), jnp.zeros(3, int)) == ()
