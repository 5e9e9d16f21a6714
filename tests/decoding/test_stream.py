"""Decoding in steps gives what decoding at once gives."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules, stream
from speccascade.sampling import keys
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')


@functools.cache
def _loop():
  groups = (loop_lib.Group(methods.get('token_v3'), tiny.ROWS),)
  return methods.make_loop(
    (tiny.DRAFTER, tiny.VERIFIER),
    groups,
    schedules.Plan(3),
    tiny.N,
    (tiny.EOS,),
  )


def _request():
  return results.Request(
    tiny.prompts(),
    tiny.sampling(),
    (tiny.values('token_v3'),),
    keys.make(tiny.SEED),
  )


def test_the_last_step_has_what_decode_returns_and_others_its_beginning():
  whole = loop_lib.decode(_loop(), tiny.params(), _request())
  steps = list(stream.stream(_loop(), tiny.params(), _request(), 2))
  jax.tree.map(np.testing.assert_array_equal, steps[-1], whole)
  most = int(whole.counts.verifier_calls_B.max())
  assert len(steps) == -(-most // 2) > 2
  before = np.zeros(tiny.ROWS, int)
  for step in steps:
    length_B = np.asarray(step.length_B)
    assert (length_B >= before).all()
    held_BxN = np.arange(tiny.N) < length_B[:, None]
    want_BxN = np.where(held_BxN, whole.token_BxN, 0)
    np.testing.assert_array_equal(step.token_BxN, want_BxN)
    before = length_B
  assert (before == whole.length_B).all()


@pytest.mark.skipif(jax.device_count() < 4, reason='needs 4 devices')
def test_one_program_makes_all_steps_on_a_mesh():
  """What a step leaves is divided as what the first was given."""
  mesh = sharding.make_mesh(4, 1, jax.devices()[:4])
  params = jax.device_put(tiny.params(), jax.NamedSharding(mesh, sharding.P()))
  before = stream._step._cache_size()
  assert len(list(stream.stream(_loop(), params, _request(), 2))) > 2
  assert stream._step._cache_size() == before + 1


def test_a_step_copies_no_cache():
  """What it is given of the state, it overwrites."""
  state = stream._init(_loop(), tiny.params(), _request())
  pointers = {
    x.unsafe_buffer_pointer() for x in jax.tree.leaves(state.verifier_cache)
  }
  after, _, _ = stream._step(_loop(), 2, tiny.params(), _request(), state)
  kept = {
    x.unsafe_buffer_pointer() for x in jax.tree.leaves(after.verifier_cache)
  }
  assert pointers == kept


def test_faults_of_arguments_are_told_before_anything_is_compiled():
  request = dataclasses.replace(_request(), values=((),))
  with pytest.raises(ValueError, match='alpha'):
    next(stream.stream(_loop(), tiny.params(), request))
