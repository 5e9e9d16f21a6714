"""Assisted generation of shapes, beside which iterations are told."""

import pytest

from speccascade import config
from speccascade.studies import assisted


def test_a_verifier_call_is_timed(tiny_preset):
  pytest.importorskip('transformers')
  fields = {'drafter': 'tiny', 'verifier': 'tiny', 'prompt': 5, 'rounds': 1}
  fields |= {'new_tokens': 12, 'gamma': 3, 'dtype': 'float32'}
  told = assisted.run(config.parse(assisted.Assisted, fields))
  ms, _, rest = told.partition(' ms a verifier call, ')
  assert float(ms) > 0
  # Of two random models the calls are at least a block of tokens each.
  assert 3 <= int(rest.split()[0]) <= 12
  assert 'prompt of 5, γ = 3: tiny for tiny, float32' in told


def test_an_encoder_is_refused():
  with pytest.raises(ValueError, match='must be a decoder'):
    config.parse(assisted.Assisted, {'drafter': 't5_v1_1_small'})
