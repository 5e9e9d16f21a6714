"""Continuous batching, compiled for four chips that are not there."""

import dataclasses
import importlib.util

import pytest

from speccascade.aot import fit, program, traffic
from tests.aot import test_tpu_program as small

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]
S = 512


@pytest.fixture(
  scope='module',
  params=[
    ('fixed', 'token_v3', 4),  # Branches.
    pytest.param(('fixed', 'token_v3', 1), marks=pytest.mark.thorough),
    # Where it does not draft, a drafter's cache lags and catches up.
    pytest.param(('load', 'strict', 1), marks=pytest.mark.large),
  ],
  ids=lambda x: '-'.join(map(str, x)),
)
def loop(libtpu, request):
  """(cell, its program, the loop's body)."""
  del libtpu
  cell = dataclasses.replace(small._cell(small._gemma, 1), prompt=S)
  lowered = program.served(cell, 32, *request.param)
  own = traffic.Program(fit.compiled(lowered)[1])
  return cell, own, own.body(fit.main_loop(own))


def test_no_transfer_to_the_host(loop):
  assert loop[1].host_transfers() == []


def test_slots_are_written_in_place(loop):
  """No layer of a slot is copied, in any loop within."""
  cell, own, body = loop
  heads, width = cell.verifier.num_kv_heads, cell.verifier.head_dim
  assert own.copies(2 * S * heads * width // 2, body) == []


def test_slots_stay_where_they_are(loop):
  """What is gathered is of prompts that are read, not of the slots."""
  cell, own, body = loop
  heads, width = cell.drafter.num_kv_heads, cell.drafter.head_dim
  slots = 2 * 2 * cell.drafter.num_layers * cell.batch * heads * S * width
  moved = own.of(body).collectives
  assert 0 < moved['all-gather'] < 2 * slots
  assert 0 < moved['all-to-all'] < 2 * slots
