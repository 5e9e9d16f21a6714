"""What is not asked for is not held: a second q, D_TV."""

import re

import jax
import numpy as np
import pytest

from speccascade.decoding import checks
from speccascade.decoding import loop as loop_lib
from speccascade.sampling import probabilities
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_GAMMA = 3


def _asked(plain):
  request = tiny.request(tiny.FORMS, temperature=1)
  ones_B = np.ones_like(request.sampling.top_p_B)
  return request.replace(
    sampling=probabilities.Sampling(ones_B, ones_B, plain=plain)
  )


def _decoded(plain, **changes):
  loop = tiny.make_loop(_GAMMA, observe=None, **changes)
  return jax.device_get(loop_lib.decode(loop, tiny.params(), _asked(plain)))


def test_plain_sampling_and_no_divergence_change_no_token():
  want = _decoded(plain=False)
  got = _decoded(plain=True, divergences=False)
  assert got.counts.divergence_B is None
  assert got.counts.deferred_B is None
  assert want.counts.divergence_B.sum() > 0
  counts = want.counts.replace(divergence_B=None, deferred_B=None)
  jax.tree.map(np.testing.assert_array_equal, got, want.replace(counts=counts))


@pytest.mark.parametrize(
  ('plain', 'buffers'), [(False, 2), (True, 1)], ids=['tempered', 'plain']
)
def test_drafts_hold_one_distribution_where_sampling_is_plain(plain, buffers):
  request = _asked(plain)
  loop = tiny.make_loop(_GAMMA, observe=None)
  text = loop_lib.lower(loop, tiny.params(), request).as_text()
  B = request.prompts.rows
  q_GxBxV = f'tensor<{_GAMMA + 1}x{B}x{tiny.DRAFTER.vocab_size}xf64>'
  loops = re.findall(r'stablehlo\.while\(.*', text)
  held = [line.count(q_GxBxV) for line in loops]
  assert max(held) == buffers


@pytest.mark.parametrize(
  ('temperature', 'top_p', 'top_k'), [(0.5, 1, 0), (1, 0.9, 0), (1, 1, 2)]
)
def test_sampling_that_is_not_plain_is_refused(temperature, top_p, top_k):
  row = lambda x: np.array([1.0, x, 1.0])  # noqa: E731
  asked = row(temperature), row(top_p), top_k
  assert not probabilities.of_rows(*asked).plain
  checks.check_sampling(probabilities.of_rows(*asked), 3)
  with pytest.raises(ValueError, match='sampling is not plain: a row has'):
    checks.check_sampling(probabilities.Sampling(*asked, plain=True), 3)


def test_rows_that_ask_for_nothing_are_plain():
  assert probabilities.of_rows(np.ones(3), np.ones(3)).plain
