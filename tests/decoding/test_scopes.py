"""A compiled program tells which part of decoding an operation is of."""

import collections
import re

import numpy as np
import pytest

from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue as queue_lib
from speccascade.decoding import serving
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_SCOPES = 'prefill', 'draft', 'verify', 'defer'


def _batch(loop, request):
  return loop_lib.lower(loop, tiny.params(), request)


def _slots(loop, request):
  """Of an answer to each prompt, as a sweep has them."""
  own, number = request.prompts, np.int32(tiny.ROWS)
  ids, ones_J = np.arange(number, dtype=np.int32), np.ones(number)
  answers = queue_lib.Answers(
    ids, ids, 0 * ids, ones_J, ones_J, request.values[0], number
  )
  queue = queue_lib.Queue(
    np.int32(own.token_PxS), np.int32(own.length_P), np.int32(own.example_P),
    number, (answers,), request.key,
  )  # fmt: skip
  made = queue_lib.slots_of(loop, tiny.ROWS, tiny.S, tiny.ROWS)
  state = serving.begin.lower(made, tiny.params(), queue).out_info
  return serving.go_on.lower(made, tiny.params(), queue, np.int32(8), state)


@pytest.mark.parametrize('lower', [_batch, _slots])
def test_every_product_of_the_loop_is_of_one_part(lower):
  request = tiny.request(('token_v3',))
  loop = tiny.make_loop(3, ('token_v3',))
  compiled = lower(loop, request).compile()
  of = collections.defaultdict(set)
  for line in compiled.as_text().splitlines():
    if found := re.search(r' = \S+ ([\w-]+)\(.*op_name="([^"]*)"', line):
      operation, name = found.groups()
      scopes = [x for x in name.split('/') if x in _SCOPES]
      assert len(set(scopes)) <= 1, name
      of[scopes[0] if scopes else None].add((operation, 'while/body' in name))
  assert set(of) == {*_SCOPES, None}
  models = {scope for scope in of if 'dot' in {x for x, _ in of[scope]}}
  assert models == {'prefill', 'draft', 'verify'}
  assert ('dot', True) in of['draft'] & of['verify']
  assert {in_loop for _, in_loop in of['defer']} == {True}
