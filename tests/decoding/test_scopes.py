"""A compiled program tells which part of decoding an operation is of."""

import collections
import re

import pytest

from speccascade.decoding import loop as loop_lib
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_SCOPES = 'prefill', 'draft', 'verify', 'defer'


def test_every_product_of_the_loop_is_of_one_part():
  request = tiny.request(('token_v3',))
  loop = tiny.make_loop(3, ('token_v3',))
  compiled = loop_lib.lower(loop, tiny.params(), request).compile()
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
